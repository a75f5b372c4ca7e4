import { log } from '@temporalio/activity';
import type { Unheard } from '../../model/migration/unheard.ts';
import type { ClusterNow } from './cluster-now.ts';
import { connectNode } from './slot-node.ts';

/** Tells primaries whose slots are that they take for nobody's. What they have open stays so. Safe to repeat. */
export async function tellUnheard(cluster: string, now: ClusterNow, found: readonly Unheard[]): Promise<void> {
  for (const { node, ownerId, slots } of found) {
    log.warn('a primary is told whose slots are that it takes for nobody’s', {
      cluster,
      node: node.name,
      owner: ownerId,
      slots: slots.length,
    });
    const told = await connectNode(node.nodeId, now.target(node));
    try {
      await told.assign(slots, ownerId, 'lenient');
    } finally {
      told.close();
    }
  }
}
