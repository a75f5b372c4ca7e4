import { CancellationScope, CancelledFailure } from '@temporalio/workflow';
import type { MoveOutcome } from '../../activities/migration/move-state.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import type { MoveLimits, MoveReport } from '../../config/migration.ts';
import { hostOf } from '../../model/known-cluster.ts';
import type { SlotMove } from '../../model/migration/moves.ts';
import { type BigKeyScan, noScan, type SlotSurvey } from '../../model/migration/survey.ts';
import { type MovePlan, moveStep } from '../../model/plan-rebalance.ts';
import { isCancellation } from './failure.ts';
import { looksAt, onData } from './proxies.ts';
import type { Operation } from './stages.ts';

/** Looks for large keys in the slots that shall move. */
export const scanMoves = async (
  ref: Pick<Moving, 'spec' | 'clusterId'>,
  moves: readonly SlotMove[],
  { maxKeyBytes, batchBytes }: MoveLimits,
): Promise<BigKeyScan> => (moves.length === 0 ? noScan : looksAt(hostOf(ref.spec)).scanBigKeys({ ...ref, moves, maxKeyBytes, batchBytes }));

/** What the mover needs besides the plan. */
export interface Moving {
  /** The larger one of the specs before and after. */
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly survey: SlotSurvey;
  readonly scan: BigKeyScan;
  readonly limits: MoveLimits;
}

/**
 * Moves the slots of a plan, as one step. A pause, or a change of limits, ends the activity at the next group boundary and begins it again
 * afterwards: the cluster itself says where it stands. Cancelled, it ends there too, and the slots stay where they are.
 */
export async function moveSlots(op: Operation, plan: MovePlan, { spec, clusterId, survey, scan, limits }: Moving): Promise<MoveReport> {
  const data = onData(hostOf(spec));
  const ref = { spec, clusterId };
  const rows = plan.moves ?? [];
  const request = {
    ...ref,
    moves: plan.slotMoves,
    strategy: plan.strategy,
    mayFallBack: plan.mayFallBack,
    careful: scan.careful,
    expected: { keys: rows.reduce((sum, { keys }) => sum + keys, 0), bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) },
    bytesPerKey: survey.bytesPerKey,
  };
  op.limits(limits);
  const step = op.step(
    moveStep,
    async () => {
      let last: MoveOutcome | undefined;
      let told = true;
      try {
        do {
          const outcome: MoveOutcome | undefined = await op.untilSteered((now) =>
            data.moveSlots({ ...request, limits: now, ...(last === undefined ? {} : { soFar: last.totals }) }),
          );
          told = outcome !== undefined;
          last = outcome ?? last;
        } while ((!told || last?.complete !== true) && !CancellationScope.current().consideredCancelled);
      } catch (error) {
        if (!isCancellation(error) || (told && last === undefined)) throw error; // else it was cancelled while it was paused
      }
      await CancellationScope.nonCancellable(async () => {
        if (!told) await data.repairSlots(ref, limits); // what it had open when its worker died
        await data.removeProbeKeys(ref, plan.slotMoves, limits);
      });
      if (told && last?.complete === true) return last.report;
      const { slots, slotsTotal, keys } = last?.report ?? { slots: 0, slotsTotal: 0, keys: 0 };
      const howMany = told ? `${slots} of ${slotsTotal} slots have moved, with ${keys} keys` : 'some slots may have moved';
      op.soFar(`${howMany}; they stay where they are, and no slot is open`);
      throw new CancelledFailure('cancelled');
    },
    ({ slots, keys, keysPerSecond, latency, ledger }) =>
      `${slots} slots, ${keys} keys, ${keysPerSecond} keys/s, p99 ${latency.p99} ms; ${ledger.acknowledged} writes of the probe, all there`,
  );
  return step.finally(() => op.limits(undefined));
}
