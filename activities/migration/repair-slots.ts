import { cancellationSignal } from '@temporalio/activity';
import type { MoveLimits } from '../../config/migration.ts';
import { endingItself } from '../support/until.ts';
import { type ClosedSlots, closeOpenSlots, refuseConflicts } from './close-open-slots.ts';
import type { ClusterRef } from './cluster-now.ts';
import { gatherCrew, throughFailovers } from './crew.ts';
import { steadyThrottle } from './governor.ts';
import { holdLease } from './lease.ts';
import type { MoveDeps } from './move-slots.ts';
import { HEARD_SOON_MS, keepUnconfirmed, type Unconfirmed } from './unconfirmed.ts';

/** Nobody has put keys of a ledger in. */
const noLedger = { has: () => false };

/**
 * Closes slots that anybody left open. A failover in the middle is waited for, and keys that a primary took along when it died are put back.
 * @throws SlotConflict when a person must decide about some; all others are closed by then. NodeAway
 */
export async function repairSlots(deps: Omit<MoveDeps, 'tell'>, ref: ClusterRef, limits: MoveLimits): Promise<ClosedSlots> {
  const lease = holdLease(deps.confirm);
  const cancelled = cancellationSignal();
  let unconfirmed: Unconfirmed | undefined;
  const holds = () => unconfirmed?.any === true && !lease.over;
  const repair = async (): Promise<ClosedSlots> => {
    const crew = await gatherCrew(deps, ref, { nodeAwayMs: limits.nodeAwayMs, mends: true, stopped: () => cancelled.aborted, holds });
    unconfirmed = ref.spec.replicasPerShard > 0 ? keepUnconfirmed(ref.spec.name, crew, noLedger, () => lease.over) : undefined;
    try {
      const closed = await throughFailovers(crew, async () => {
        await unconfirmed?.settle();
        return closeOpenSlots(crew, limits.slotsAtOnce, steadyThrottle(limits, lease), unconfirmed);
      });
      await throughFailovers(crew, async () => unconfirmed?.drained(limits.nodeAwayMs, HEARD_SOON_MS));
      refuseConflicts(ref.spec.name, closed);
      return closed;
    } finally {
      unconfirmed?.end();
      crew.close();
    }
  };
  try {
    return await endingItself(() => cancelled.aborted && (!holds() || lease.whyNot() !== undefined), repair);
  } finally {
    lease.end();
  }
}
