import { log } from '@temporalio/activity';
import type { Orphans } from '../../model/migration/orphans.ts';
import { parseInfo } from '../redis/parse.ts';
import type { ClusterNow } from './cluster-now.ts';
import { HANDED_OVER_AT_ONCE } from './move-group.ts';
import { type ConnectedNode, connectNode } from './slot-node.ts';

/**
 * Gives slots that nobody serves to the primary of their shard, such as those of a failed one to that which was promoted in its place. As with every hand-over the new owner is told first, and by way of
 * IMPORTING, so that its word is newer than the failed node's, which then gives them up when it comes back. Safe to repeat.
 * @param fenced node ids of those that come back as replicas, and claim nothing
 */
export async function adoptSlots(cluster: string, now: ClusterNow, found: readonly Orphans[], fenced: ReadonlySet<string>): Promise<void> {
  const connected = await Promise.all(
    now.shards.flatMap(({ shard, primary }) =>
      primary === undefined ? [] : [connectNode(primary.nodeId, now.target(primary)).then((node) => [shard, node] as const)],
    ),
  );
  const nodes = new Map<number, ConnectedNode>(connected);
  try {
    for (const { shard, failedId, slots } of found) {
      const promoted = nodes.get(shard);
      if (promoted === undefined) continue;
      log.warn('slots that a promoted primary does not know of are given to it', { cluster, shard, slots: slots.length });
      const others = [...nodes.values()].filter((node) => node !== promoted);
      if (failedId !== undefined && !fenced.has(failedId) && (await takesOldClaims(promoted)))
        await promoted.wire.ask([['CLUSTER', 'FORGET', failedId]]);
      for (let at = 0; at < slots.length; at += HANDED_OVER_AT_ONCE) {
        const some = slots.slice(at, at + HANDED_OVER_AT_ONCE);
        // Any node will do: that it comes by way of importing is what makes its word a new one.
        if (failedId !== undefined) await promoted.importing(some, others[0]?.nodeId ?? failedId);
        await promoted.claim(some);
        await Promise.all(others.map((other) => other.assign(some, promoted.nodeId, 'lenient')));
      }
    }
  } finally {
    for (const node of nodes.values()) node.close();
  }
}

/**
 * Redis 7.0 may take such a slot for unclaimed: then it believes the failed node when that one comes back, gives the slot up, and deletes its keys. It does
 * not listen to a node that it has forgotten, for a minute; by then the others have told that one whose the slots are.
 */
async function takesOldClaims({ wire }: ConnectedNode): Promise<boolean> {
  const version = parseInfo(String(await wire.one('INFO', 'server'))).get('redis_version') ?? '';
  return version.startsWith('7.0.');
}
