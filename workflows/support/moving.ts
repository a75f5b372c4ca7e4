import { CancellationScope, CancelledFailure } from '@temporalio/workflow';
import type { MoveOutcome } from '../../activities/migration/move-state.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { MoveLimits, MoveReport, MoveStrategy } from '../../config/migration.ts';
import { hostOf } from '../../model/known-cluster.ts';
import { refuseKeys } from '../../model/migration/key-room.ts';
import type { SlotMove } from '../../model/migration/moves.ts';
import { chooseStrategy } from '../../model/migration/planned-moves.ts';
import { type BigKeyScan, noScan, type SlotSurvey, unscanned } from '../../model/migration/survey.ts';
import { type MovePlan, moveStep } from '../../model/plan-rebalance.ts';
import { fail, isCancellation, typeOf } from './failure.ts';
import { looksAt, onData, tidies } from './proxies.ts';
import type { Operation } from './stages.ts';

/**
 * Looks for large keys in the slots that shall move. Servers that move slots by themselves are not held up by a large key: there nobody looks,
 * unless they refuse and MIGRATE is to take over.
 */
export async function scanMoves(
  ref: Pick<Moving, 'spec' | 'clusterId'>,
  moves: readonly SlotMove[],
  survey: SlotSurvey,
  { limits, strategy }: { readonly limits: MoveLimits; readonly strategy: MoveStrategy },
): Promise<BigKeyScan> {
  if (moves.length === 0) return noScan;
  return chooseStrategy(strategy, survey).strategy === 'native' ? unscanned(moves) : scan(ref, moves, limits);
}

function scan({ spec, clusterId }: Pick<Moving, 'spec' | 'clusterId'>, moves: readonly SlotMove[], limits: MoveLimits) {
  const { maxKeyBytes, batchBytes } = limits;
  return looksAt(hostOf(spec)).scanBigKeys({ spec, clusterId, moves, maxKeyBytes, batchBytes });
}

/** So long is a cluster waited for after a failure, to leave it tidy. */
const TIDY_WITHIN_MS = 10_000;

/** What the mover needs besides the plan. */
export interface Moving {
  /** The larger one of the specs before and after. */
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly survey: SlotSurvey;
  readonly scan: BigKeyScan;
  readonly limits: MoveLimits;
  readonly bigKeys: 'stop' | 'move';
  /** Memory of a node's container while slots move. */
  readonly containerBytes: number;
}

/**
 * Moves the slots of a plan, as one step. A pause, or a change of limits, ends the activity at the next group boundary and begins it again
 * afterwards: the cluster itself says where it stands. Cancelled, it ends there too, and the slots stay where they are. When the servers refuse
 * to move slots by themselves it goes on by MIGRATE, unless a plan that moves them so would have been refused.
 */
export async function moveSlots(op: Operation, plan: MovePlan, moving: Moving): Promise<MoveReport> {
  const { spec, clusterId, survey, limits } = moving;
  const data = onData(hostOf(spec));
  const ref = { spec, clusterId };
  const rows = plan.moves ?? [];
  let request = {
    ...ref,
    moves: plan.slotMoves,
    strategy: plan.strategy,
    mayFallBack: plan.mayFallBack,
    careful: moving.scan.careful,
    expected: { keys: rows.reduce((sum, { keys }) => sum + keys, 0), bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) },
    bytesPerKey: survey.bytesPerKey,
  };
  /** Leaves no slot open, as far as that can be done soon. A loss is left as it is for those who look into it. @returns whether it could be done */
  const tidy = async (): Promise<boolean> => {
    const soon = { ...limits, nodeAwayMs: Math.min(limits.nodeAwayMs, TIDY_WITHIN_MS) };
    try {
      await tidies(hostOf(spec)).repairSlots(ref, soon);
      await tidies(hostOf(spec)).removeProbeKeys(ref, plan.slotMoves, soon);
      return true;
    } catch {
      return false; // whoever asked says what to do next, and that begins with repair
    }
  };
  const cancelled = () => CancellationScope.current().consideredCancelled;
  op.limits(limits);
  const step = op.step(
    moveStep,
    async () => {
      let last: MoveOutcome | undefined;
      let told = true;
      /** Whether what a cancelled attempt had open could be closed; unknown while none was. */
      let closed: boolean | undefined;
      try {
        do {
          const why = request.strategy === 'native' ? last?.fellBack : undefined;
          if (why !== undefined) {
            const careful = await lookAfterRefusal(op, plan, moving, why);
            if (careful === undefined) continue; // it was paused meanwhile, and looks once more afterwards
            request = { ...request, strategy: 'pipelined', careful };
          }
          const outcome: MoveOutcome | undefined = await op.untilSteered((now) =>
            data.moveSlots({ ...request, limits: now, ...(last === undefined ? {} : { soFar: last.totals }) }),
          );
          told = outcome !== undefined && outcome.interrupted === undefined;
          last = outcome ?? last;
          // What it had open when its worker died, or a node was away, must not stay so for as long as a pause takes.
          if (told) continue;
          if (cancelled()) closed = await CancellationScope.nonCancellable(tidy);
          else await CancellationScope.nonCancellable(() => data.repairSlots(ref, limits));
        } while ((!told || last?.complete !== true) && !cancelled());
      } catch (error) {
        if (!isCancellation(error) && typeOf(error) !== failures.writeLost) await CancellationScope.nonCancellable(tidy);
        if (!isCancellation(error) || (told && last === undefined)) throw error; // else it was cancelled while it was paused
      }
      if (closed === undefined) await CancellationScope.nonCancellable(() => data.removeProbeKeys(ref, plan.slotMoves, limits));
      if (told && last?.complete === true) return last.report;
      const { slots, slotsTotal, keys } = last?.report ?? { slots: 0, slotsTotal: 0, keys: 0 };
      const howMany = told ? `${slots} of ${slotsTotal} slots have moved, with ${keys} keys` : 'some slots may have moved';
      const open = `a node was away, so slots may be open. Next: holdfast status ${spec.name}; when its nodes are back, holdfast repair ${spec.name}`;
      op.soFar(`${howMany}; they stay where they are, and ${closed === false ? open : 'no slot is open'}`);
      throw new CancelledFailure('cancelled');
    },
    ({ slots, keys, keysPerSecond, latency, ledger }) =>
      `${slots} slots, ${keys} keys, ${keysPerSecond} keys/s, p99 ${latency.p99} ms; ${ledger.acknowledged} writes of the probe, ${ledger.evicted === 0 ? 'all there' : `none lost; the server evicted ${ledger.evicted}`}`,
  );
  return step.finally(() => op.limits(undefined));
}

/**
 * Looks for large keys once the servers have refused, as for a plan that moves slots by MIGRATE, at the limits of now.
 * @returns slots that must be sent with care; undefined when it was to stop meanwhile
 * @throws PlanRefused for the reasons for which such a plan is refused
 */
async function lookAfterRefusal(op: Operation, plan: MovePlan, moving: Moving, why: string): Promise<string | undefined> {
  const { spec, survey, bigKeys, containerBytes } = moving;
  const moves = plan.slotMoves;
  const seen = await op.untilSteered(async (now) => ({ found: await scan(moving, moves, now), maxKeyBytes: now.maxKeyBytes }));
  if (seen === undefined) return undefined;
  const { found, maxKeyBytes } = seen;
  const refusals = refuseKeys(found, { bigKeys, maxKeyBytes, moves, rows: plan.moves ?? [], survey, containerBytes });
  if (refusals.length === 0) return found.careful;
  throw fail(
    failures.refused,
    `the servers of ${spec.name} refuse to move slots by themselves (${why}), and to move them by MIGRATE is refused, too; no slot has moved, and none is open:\n${refusals.map((reason) => `- ${reason}`).join('\n')}`,
    refusals,
  );
}
