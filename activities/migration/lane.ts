import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '@temporalio/activity';
import { failures } from '../../config/failures.ts';
import type { MoveLimits } from '../../config/migration.ts';
import { parseRanges, type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { whyWithoutCopy } from './copies.ts';
import { type Crew, passes } from './crew.ts';
import type { Governor } from './governor.ts';
import { admitsWithin } from './key-room.ts';
import type { Ledger } from './ledger.ts';
import { refuseLoss } from './loss.ts';
import type { moveGroup } from './move-group.ts';
import type { MoveBoard } from './move-progress.ts';
import { awaitNoJobs, findNativeCommands, moveNatively, type NativeJobs, nativeFailed } from './native.ts';
import type { Probe } from './probe.ts';
import type { ConnectedNode } from './slot-node.ts';
import { keeping, type Unconfirmed } from './unconfirmed.ts';

/** What a lane works with. */
export interface GroupRunner {
  readonly spec: { readonly name: string; readonly replicasPerShard: number };
  readonly limits: MoveLimits;
  readonly mayFallBack: boolean;
  readonly careful: string;
  readonly bytesPerKey: readonly number[];
  readonly crew: Crew;
  readonly governor: Governor;
  readonly probe: Probe;
  readonly ledger: Ledger;
  /** Missing where no replica could take over. */
  readonly unconfirmed?: Unconfirmed | undefined;
  readonly progress: MoveBoard;
  readonly jobs: NativeJobs;
  readonly moveGroup: typeof moveGroup;
  /** Keys that servers have evicted since the move began: of those that are not there any more, one may be the ledger's. */
  readonly evicted: () => Promise<number>;
}

/** A group shall be closed again in about this time, so that a pause or a cancellation is obeyed soon. */
const GROUP_MS = 2000;
/** What a lane is taken to move before it was measured. */
const FIRST_RATE = 20_000;
/** A server's own move is one job: large enough to be worth its start, small enough to be cancelled without regret. */
const NATIVE_GROUP = { slots: 4096, bytes: 512 * 1024 ** 2 };
const NATIVE_TRIES = 5;
const RETRY_MS = 300;

/** Moves all slots that leave one shard, group by group, its destinations in turn. Ends early when no more groups shall be opened. */
export async function runLane(runner: GroupRunner, moves: readonly SlotMove[]): Promise<void> {
  const { progress, governor, crew, limits, unconfirmed } = runner;
  const rates = new Map<SlotMove, number>();
  let failingSince: number | undefined;
  for (let turn = 0; ; ) {
    const left = moves.filter((move) => progress.left(move).length > 0);
    const move = left[turn % Math.max(1, left.length)];
    if (move === undefined) return;
    // What a failure left open is what holds up the probe: it must not wait for the probe to be calm.
    const may = failingSince === undefined ? await governor.mayOpen() : governor.stopping ? 'stop' : 'open';
    if (may === 'stop') return;
    const { round } = crew;
    if (may === 'look') {
      await crew.refresh(round); // waits for a shard that has no primary, and not for ever
      await progress.begin(crew);
      continue;
    }
    try {
      await unconfirmed?.settle();
      if (!(await copied(runner, move))) return;
      const start = performance.now();
      const keys = progress.native() ? await moveByServer(runner, move) : await movePipelined(runner, move, rates.get(move) ?? FIRST_RATE);
      rates.set(move, Math.max(100, (keys * 1000) / Math.max(1, performance.now() - start)));
      failingSince = undefined;
      turn++;
    } catch (error) {
      if (!passes(error)) throw error;
      failingSince ??= Date.now();
      log.warn('a group of slots is tried again', { cluster: runner.spec.name, from: move.from, to: move.to, why: messageOf(error) });
      if (Date.now() - failingSince > limits.nodeAwayMs) throw gaveUp(runner.spec.name, move, limits.nodeAwayMs, error);
      await sleep(RETRY_MS);
      await crew.refresh(round);
      await progress.begin(crew);
    }
  }
}

function gaveUp(cluster: string, { from, to }: SlotMove, ms: number, error: unknown) {
  const why = messageOf(error);
  const first = /\bOOM\b/.test(why)
    ? `give shard ${to} more memory, since it is full (holdfast scale ${cluster} --memory)`
    : `holdfast status ${cluster}`;
  return fatal(
    failures.nodeAway,
    `slots could not be moved from shard ${from} to shard ${to} of ${cluster} for longer than nodeAwayMs (${ms} ms): ${why}. Next: ${first}; then holdfast repair ${cluster}, which closes what is open, and the same operation again`,
  );
}

/**
 * Waits until what the destination takes has a copy at once: a primary that dies takes with it what nobody else has.
 * @returns false when no more groups shall be opened
 * @throws NodeAway when it has none for longer than `nodeAwayMs`
 */
async function copied({ crew, limits, governor, progress, spec }: GroupRunner, move: SlotMove): Promise<boolean> {
  if (spec.replicasPerShard === 0) return true;
  const end = Date.now() + limits.nodeAwayMs;
  try {
    for (;;) {
      const why = await whyWithoutCopy(crew.primary(move.to).wire, crew.addresses());
      if (why === undefined || governor.stopping) return !governor.stopping;
      const lacks = `shard ${move.to} takes no slots while ${why}`;
      progress.waits(move, lacks);
      if (Date.now() > end) throw gaveUp(spec.name, move, limits.nodeAwayMs, new Error(lacks));
      await sleep(RETRY_MS);
    }
  } finally {
    progress.waits(move, undefined);
  }
}

/** Opens the next slots of a move, and closes them. @returns keys that moved */
async function movePipelined(runner: GroupRunner, move: SlotMove, rate: number): Promise<number> {
  const { crew, limits, probe, progress, unconfirmed } = runner;
  const [source, destination] = [crew.primary(move.from), crew.primary(move.to)];
  const candidates = progress.left(move).slice(0, limits.slotsAtOnce);
  const counts = await source.count(candidates);
  const slots = fitting(candidates, counts, (rate * GROUP_MS) / 1000);
  await prepare(runner, source, slots, counts);
  probe.open(slots);
  const careful = carefulSlots(runner.careful, slots);
  let moved = 0;
  let over = false;
  /** What was sent has the ledger's own keys in it, and those that clients have written meanwhile: what has arrived is what counts in the end. */
  const takeBack = () => {
    if (!over) progress.moved(move, -moved, 0);
    over = true;
  };
  const bytesPerKey = runner.bytesPerKey[move.from] ?? 100;
  const lane = runner.governor.throttle(move.from, bytesPerKey);
  const way = { from: move.from, sourceId: source.nodeId, to: move.to, destinationId: destination.nodeId };
  const throttle = keeping(unconfirmed, way, {
    ...lane,
    admit: admitsWithin(crew, source, destination),
    moved: (keys, tookMs, bytes = keys * bytesPerKey) => {
      moved += keys;
      if (!over) progress.moved(move, keys, bytes);
      return lane.moved(keys, tookMs, bytes);
    },
  });
  try {
    const others = crew.primaries().filter((node) => node !== source && node !== destination);
    try {
      await runner.moveGroup({ source, destination, others, slots, careful }, throttle);
      unconfirmed?.handedOver(way);
    } finally {
      probe.close(slots);
    }
    await arrived(runner, move, slots, takeBack);
  } finally {
    takeBack();
  }
  return moved;
}

/** Every slot has a key of the ledger; and it is known how many keys there are, with it. */
async function prepare({ ledger, progress }: GroupRunner, source: ConnectedNode, slots: readonly number[], counts: readonly number[]) {
  const made = await ledger.prepare(source.wire, slots);
  progress.opened(
    slots,
    slots.map((slot, index) => (counts[index] ?? 0) + (made.has(slot) ? 1 : 0)),
  );
}

/** Lets the servers move the next slots. @returns keys that moved; 0 when none did, and the cluster is to be looked at anew */
async function moveByServer(runner: GroupRunner, move: SlotMove): Promise<number> {
  const { crew, probe, progress, governor, spec, jobs } = runner;
  const [source, destination] = [crew.primary(move.from), crew.primary(move.to)];
  const commands = await findNativeCommands(source.wire);
  if (commands === undefined) return fallBack(runner, 'the server does not know how');
  const stop = () => governor.stopping;
  const { waited } = await awaitNoJobs(commands, commands === 'valkey' ? source.wire : destination.wire, stop);
  if (waited) {
    // What an earlier attempt began has ended meanwhile.
    jobs.taken = true;
    await crew.refresh(crew.round);
    await progress.begin(crew);
    return 0;
  }
  const candidates = progress.left(move).slice(0, NATIVE_GROUP.slots);
  const counts = await source.count(candidates);
  const slots = fitting(candidates, counts, NATIVE_GROUP.bytes / (runner.bytesPerKey[move.from] ?? 100));
  await prepare(runner, source, slots, counts);
  probe.open(slots);
  try {
    for (let tries = 0; ; ) {
      if (governor.stopping) return 0;
      const end = await moveNatively(commands, { source, destination, ranges: toRanges(slots) }, stop, jobs);
      if (end.end === 'cancelled') return 0;
      if (end.end === 'done') break;
      // A server may take no second job while it has one.
      const waits = end.end === 'refused' && jobs.running > 0;
      if (!waits) tries++;
      if (tries === NATIVE_TRIES) {
        if (end.end === 'refused') return fallBack(runner, end.why);
        throw nativeFailed(spec.name, end.why);
      }
      await sleep(waits ? RETRY_MS : RETRY_MS * tries);
    }
  } finally {
    probe.close(slots);
  }
  await arrived(runner, move, slots);
  const keys = counts.slice(0, slots.length).reduce((sum, one) => sum + one, 0);
  progress.moved(move, 0, keys * (runner.bytesPerKey[move.from] ?? 100));
  return keys;
}

/**
 * Ends the move with no slot moved, so that MIGRATE can take over once somebody has looked for keys that it must not send.
 * @throws MigrationFailed when a server has taken a job already: it is in the middle then, whatever became of the job
 */
function fallBack({ mayFallBack, progress, governor, jobs, spec }: GroupRunner, why: string): 0 {
  if (!mayFallBack || jobs.taken || jobs.running > 0 || progress.begun()) throw nativeFailed(spec.name, why);
  log.warn('the servers refuse to move slots by themselves', { cluster: spec.name, why });
  progress.fallBack(why);
  governor.stop();
  return 0;
}

/** The slots have a new owner: everything that was in them must be there. @param counted told when it is known what is */
async function arrived(runner: GroupRunner, move: SlotMove, slots: readonly number[], counted: () => void = () => undefined) {
  const { crew, ledger, progress, spec, unconfirmed } = runner;
  const { wire, count } = (await unconfirmed?.settled(move.to)) ?? crew.primary(move.to);
  const [keys, own] = [await count(slots), await ledger.ownKeys(wire, slots)];
  counted();
  progress.arrived(move, slots, keys, own);
  const lost = await ledger.check(wire, slots);
  await refuseLoss(spec.name, lost, runner.evicted);
  progress.evicted(lost.map(({ slot }) => slot));
}

/** As many of the slots as have no more keys than given; one at least. */
function fitting(slots: readonly number[], counts: readonly number[], keys: number): readonly number[] {
  let sum = 0;
  const end = slots.findIndex((_, index) => {
    sum += counts[index] ?? 0;
    return sum > keys;
  });
  return end < 0 ? slots : slots.slice(0, Math.max(1, end));
}

function carefulSlots(careful: string, slots: readonly number[]): ReadonlySet<number> {
  if (careful === '') return new Set();
  const all = new Set(slotsOf(parseRanges(careful)));
  return new Set(slots.filter((slot) => all.has(slot)));
}
