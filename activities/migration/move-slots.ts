import { ApplicationFailure, cancellationSignal, log } from '@temporalio/activity';
import { type FailureType, failures } from '../../config/failures.ts';
import type { MoveHeartbeat } from '../../config/migration.ts';
import { parseRanges, type SlotMove, slotsOf } from '../../model/migration/moves.ts';
import { countSlots } from '../../model/slots.ts';
import { report, reported } from '../support/beating.ts';
import { messageOf } from '../support/failure.ts';
import { endingItself } from '../support/until.ts';
import { closeOpenSlots, refuseConflicts } from './close-open-slots.ts';
import type { MigrationDeps } from './cluster-now.ts';
import { type Crew, gatherCrew, isStoppedWait, STOPS_AT_LATEST_MS, throughFailovers } from './crew.ts';
import { createGovernor, steadyThrottle } from './governor.ts';
import { type GroupRunner, runLane } from './lane.ts';
import { holdLease, type Lease, Superseded } from './lease.ts';
import { Ledger, type LostWrite } from './ledger.ts';
import { keysMissing, refuseLoss } from './loss.ts';
import { moveGroup } from './move-group.ts';
import { createProgress } from './move-progress.ts';
import { type MoveOutcome, type MoveRequest, type MoveTotals, noTotals, reportOf } from './move-state.ts';
import { startProbe } from './probe.ts';
import { watchRemovals } from './removals.ts';
import { HEARD_SOON_MS, keepUnconfirmed, type Unconfirmed } from './unconfirmed.ts';

export interface MoveDeps extends MigrationDeps {
  /** Tells the workflow how far it is. */
  readonly tell: (progress: MoveHeartbeat['progress']) => Promise<void>;
  /** Asks Temporal whether this attempt is still the one that it waits for. @throws when nobody answers */
  readonly confirm: () => Promise<boolean>;
  /** A test puts a wrong one in its place, to see that the ledger finds it out. */
  readonly moveGroup?: typeof moveGroup;
}

/**
 * Moves slots until the destination of every move owns them, or until it is cancelled: then it ends at the next group boundary, with no slot
 * open, and says how far it is; but not before keys that a primary took along when it died are back, for it is the only one that has them.
 * So it ends, too, when servers refuse to move slots by themselves. Safe to repeat: a fresh attempt asks the cluster, closes what an earlier
 * one left open, and goes on; servers that have refused are asked again.
 * @throws WriteLost, SlotConflict, NodeAway, MigrationFailed
 */
export function moveSlots(deps: MoveDeps, request: MoveRequest): Promise<MoveOutcome> {
  const lease = holdLease(deps.confirm);
  const cancelled = cancellationSignal();
  return endingItself(
    () => cancelled.aborted && lease.whyNot() !== undefined,
    () => moveUntil(cancelled, lease, deps, request).finally(lease.end),
  );
}

async function moveUntil(cancelled: AbortSignal, lease: Lease, deps: MoveDeps, request: MoveRequest): Promise<MoveOutcome> {
  const { spec, moves, limits } = request;
  const before = (reported() as MoveHeartbeat | undefined)?.resume as MoveTotals | undefined;
  const start = before ?? request.soFar ?? noTotals(request.strategy);
  const since = Date.now();
  const hasReplicas = spec.replicasPerShard > 0;
  const ledger = new Ledger(hasReplicas);
  ledger.written = start.written;
  ledger.acknowledged = start.acknowledged;
  ledger.resume(slotsOf(parseRanges(start.prepared)), start.numbers, start.startedAt);
  let waitsFor: string | undefined;
  let unconfirmed: Unconfirmed | undefined;
  const crew = await gatherCrew(deps, request, {
    nodeAwayMs: limits.nodeAwayMs,
    mends: true,
    waits: (why) => {
      waitsFor = why;
    },
    stopped: () => cancelled.aborted,
    holds: () => unconfirmed?.any === true && !lease.over,
  }).catch((error: unknown) => {
    if (!isStoppedWait(error)) throw error;
    return error;
  });
  if (crew instanceof ApplicationFailure) return interrupted(start, request, crew);
  const { shards, target } = crew.now();
  const probe = startProbe(
    shards.flatMap(({ primary }) => (primary === undefined ? [] : [target(primary)])),
    ledger,
    { before: start.latencies, copies: hasReplicas, mayWrite: () => lease.whyNot() === undefined },
  );
  const governor = createGovernor(probe, lease, limits, start.heldMs);
  let { countedBefore } = start;
  const sources = { ledger, probe, governor, waitsFor: () => waitsFor, countedBefore: () => countedBefore, since };
  const progress = createProgress(request, start, sources);
  cancelled.addEventListener('abort', governor.stop);
  if (cancelled.aborted) governor.stop();
  const beat = setInterval(() => report(progress.heartbeat()), 1000);
  const told = setInterval(() => void progress.tell(deps.tell), 1000);
  unconfirmed = hasReplicas ? keepUnconfirmed(spec.name, crew, ledger, () => lease.over) : undefined;
  const closeNow = async () => {
    await unconfirmed?.settle();
    return closeOpenSlots(crew, limits.slotsAtOnce, steadyThrottle(limits, lease), unconfirmed);
  };
  const close = () => throughFailovers(crew, closeNow);
  const settleDown = async () => {
    if (unconfirmed?.any !== true) return;
    waitsFor = 'the last keys that have arrived are not safe on a replica yet';
    const [withinMs, heardMs] = governor.stopping
      ? [Math.min(limits.nodeAwayMs, STOPS_AT_LATEST_MS), HEARD_SOON_MS]
      : [limits.nodeAwayMs, limits.nodeAwayMs];
    await throughFailovers(crew, async () => unconfirmed?.drained(withinMs, heardMs));
    waitsFor = undefined;
  };
  try {
    const closed = await close();
    refuseConflicts(spec.name, closed);
    if (closed.finished.length + closed.settled.length > 0) await crew.refresh(crew.round);
    const removals = await watchRemovals(crew, countedBefore);
    const { evicted } = removals;
    countedBefore = removals.baseline;
    await progress.begin(crew);
    const moveOne = deps.moveGroup ?? moveGroup;
    await runLanes(
      { ...request, crew, governor, probe, ledger, unconfirmed, progress, evicted, jobs: { running: 0, taken: false }, moveGroup: moveOne },
      limits.pairs,
      (gaveUp) => (gaveUp ? closeNow() : close()),
    );
    // A lane that failed in the moment in which it was stopped may have left its group open.
    if (governor.stopping) refuseConflicts(spec.name, await close());
    // Who wants it to stop does not wait for another look.
    if (!cancelled.aborted) {
      await crew.refresh(crew.round);
      await progress.begin(crew);
    }
    await settleDown();
    const lost = await checkLedger(crew, ledger, progress.arrivedSlots());
    await refuseLoss(spec.name, lost, evicted);
    progress.evicted(lost.map(({ slot }) => slot));
    const shrunk = progress.shrunk();
    if (shrunk.keys > 0 && (await removals.others()) < shrunk.keys) throw keysMissing(spec.name, shrunk);
    const totals = progress.totals();
    const left = (move: SlotMove) => progress.left(move).length;
    const complete = moves.every((move) => left(move) === 0);
    if (!complete) await progress.tell(deps.tell, 'last'); // who looks at a paused move sees where it stands
    const fellBack = progress.fellBack();
    return { complete, totals, report: reportOf(totals, moves, left, 0), ...(fellBack === undefined ? {} : { fellBack }) };
  } catch (error) {
    // What was waited for in vain is not waited for again; and a loss is left as it is for those who look into it.
    if (!(error instanceof Superseded) && !isOf(error, failures.nodeAway) && !isOf(error, failures.writeLost))
      await settleDown().catch((also: unknown) => {
        log.warn('keys that have arrived may be on no replica yet', { cluster: spec.name, why: messageOf(also) });
      });
    if (!isStoppedWait(error)) throw error;
    return interrupted(progress.totals(), request, error);
  } finally {
    clearInterval(beat);
    clearInterval(told);
    unconfirmed?.end();
    governor.end();
    await probe.stop();
    crew.close();
  }
}

/**
 * A lane for each source, so many at a time: a MIGRATE holds up its source, two of them would only wait for one another. When one fails the
 * others end what they have open, and what it left open itself is closed as far as that can be done.
 * @param tidy closes it; told whether one has given up on the cluster, which is then waited for no more
 */
async function runLanes(
  runner: GroupRunner & { readonly moves: readonly SlotMove[] },
  atOnce: number,
  tidy: (gaveUp: boolean) => Promise<unknown>,
): Promise<void> {
  const { moves, governor, spec } = runner;
  const sources = [...new Set(moves.map(({ from }) => from))];
  const problems: unknown[] = [];
  const work = async () => {
    for (let source = sources.shift(); source !== undefined; source = sources.shift()) {
      try {
        await runLane(
          runner,
          moves.filter(({ from }) => from === source),
        );
      } catch (error) {
        problems.push(error);
        governor.stop();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, sources.length) }, work));
  if (problems.length === 0) return;
  // A lost write is the worst of them, must not hide behind another, and leaves everything as it is for those who look into it.
  const lost = problems.find((problem) => isOf(problem, failures.writeLost));
  if (lost !== undefined) throw lost;
  const superseded = problems.find((problem) => problem instanceof Superseded);
  if (superseded !== undefined) throw superseded;
  await tidy(problems.some((problem) => isOf(problem, failures.nodeAway))).catch((error: unknown) => {
    log.warn('slots may be left open', { cluster: spec.name, why: messageOf(error) });
  });
  throw problems[0];
}

/** What it has done goes on to the next attempt, and into the result; how far the slots are nobody can say. */
const interrupted = (totals: MoveTotals, { moves }: MoveRequest, { message }: ApplicationFailure): MoveOutcome => ({
  complete: false,
  totals,
  report: reportOf(totals, moves, ({ slots }) => countSlots(slots), 0),
  interrupted: message,
});

const isOf = (problem: unknown, type: FailureType): boolean => problem instanceof ApplicationFailure && problem.type === type;

/** Reads the whole ledger back from those who own its slots now. */
async function checkLedger(crew: Crew, ledger: Ledger, moved: ReadonlyMap<number, number>): Promise<readonly LostWrite[]> {
  const byShard = new Map<number, number[]>();
  for (const slot of ledger.slots()) {
    const shard = moved.get(slot);
    if (shard !== undefined) byShard.set(shard, [...(byShard.get(shard) ?? []), slot]);
  }
  const lost = await Promise.all([...byShard].map(([shard, slots]) => ledger.check(crew.primary(shard).wire, slots)));
  return lost.flat();
}
