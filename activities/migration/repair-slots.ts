import { cancellationSignal } from '@temporalio/activity';
import type { MoveLimits } from '../../config/migration.ts';
import { endingItself } from '../support/until.ts';
import { type ClosedSlots, closeOpenSlots, refuseConflicts } from './close-open-slots.ts';
import type { ClusterRef, MigrationDeps } from './cluster-now.ts';
import { gatherCrew, throughFailovers } from './crew.ts';
import { steadyThrottle } from './governor.ts';
import { keepUnconfirmed, SOON_MS, type Unconfirmed } from './unconfirmed.ts';

/** Nobody has put keys of a ledger in. */
const noLedger = { has: () => false };

/**
 * Closes slots that anybody left open. A failover in the middle is waited for, and keys that a primary took along when it died are put back.
 * @throws SlotConflict when a person must decide about some; all others are closed by then. NodeAway
 */
export function repairSlots(deps: MigrationDeps, ref: ClusterRef, limits: MoveLimits): Promise<ClosedSlots> {
  let unconfirmed: Unconfirmed | undefined;
  const holds = () => unconfirmed?.any === true;
  const cancelled = cancellationSignal();
  const repair = async (): Promise<ClosedSlots> => {
    const crew = await gatherCrew(deps, ref, { nodeAwayMs: limits.nodeAwayMs, mends: true, holds });
    unconfirmed = ref.spec.replicasPerShard > 0 ? keepUnconfirmed(ref.spec.name, crew, noLedger, () => false) : undefined;
    try {
      const closed = await throughFailovers(crew, async () => {
        await unconfirmed?.settle();
        return closeOpenSlots(crew, limits.slotsAtOnce, steadyThrottle(limits), unconfirmed);
      });
      await throughFailovers(crew, async () => unconfirmed?.drained(SOON_MS));
      refuseConflicts(ref.spec.name, closed);
      return closed;
    } finally {
      unconfirmed?.end();
      crew.close();
    }
  };
  return endingItself(() => cancelled.aborted && !holds(), repair);
}
