import { failures } from '../../config/failures.ts';
import type { MoveHeartbeat, MoveProgress } from '../../config/migration.ts';
import { formatRanges, type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import { countSlots } from '../../model/slots.ts';
import { fatal } from '../support/failure.ts';
import { type Crew, passes } from './crew.ts';
import type { Governor } from './governor.ts';
import type { Ledger } from './ledger.ts';
import { type MoveRequest, type MoveTotals, pairOf } from './move-state.ts';
import type { Probe } from './probe.ts';

/** How far a move is: what is left, what is done, what the next attempt must know. */
export interface MoveBoard {
  /**
   * Takes from the cluster itself who owns what, and counts the keys of slots that have arrived without anybody saying so: an earlier attempt, or a server, has gone on with them.
   * @throws SlotConflict when a slot is neither at its source nor at its destination
   */
  begin(crew: Crew): Promise<void>;
  left(move: SlotMove): readonly number[];
  /** Slots are opened now, with so many keys in each: of the ledger's own, too. */
  opened(slots: readonly number[], keys: readonly number[]): void;
  /** Keys and bytes are under way; what is taken back was told too early. */
  moved(move: SlotMove, keys: number, bytes: number): void;
  /** Slots are at their destination, with so many keys in each, of which so many are the ledger's. */
  arrived(move: SlotMove, slots: readonly number[], keys: readonly number[], own: readonly number[]): void;
  /** Slots at their destination, with its shard. */
  arrivedSlots(): ReadonlyMap<number, number>;
  /** Keys that were counted at the source and not at the destination. */
  shrunk(): { readonly keys: number; readonly slots: readonly number[] };
  /** The servers have evicted the ledger's keys of these slots. */
  evicted(slots: readonly number[]): void;
  /** A move waits for a node, and why; undefined when it does not any more. */
  waits(move: SlotMove, why: string | undefined): void;
  native(): boolean;
  /** Whether any slot of this move has moved. */
  begun(): boolean;
  /** The servers refuse to move slots by themselves, and nothing has moved: another attempt does it by MIGRATE. */
  fallBack(why: string): void;
  /** Why it fell back, when it did. */
  fellBack(): string | undefined;
  totals(): MoveTotals;
  heartbeat(): MoveHeartbeat;
  /** Tells the workflow, seldom enough that its history stays small; but for the last word of an attempt that stops half way. */
  tell(how: (progress: MoveProgress) => Promise<void>, last?: 'last'): Promise<void>;
}

interface Sources {
  readonly ledger: Ledger;
  readonly probe: Probe;
  readonly governor: Governor;
  readonly waitsFor: () => string | undefined;
  readonly countedBefore: () => MoveTotals['countedBefore'];
  readonly since: number;
}

/**
 * At each of so many parts of the way, not more often than every two seconds, and the more seldom the longer it takes already: each is four events
 * of a history, of which a move of many hours may make some hundreds.
 */
const TELL = { parts: 50, everyMs: 2000, stateEveryMs: 10_000, atLeastEveryMs: 60_000, share: 0.03 };
const RATE_WINDOW_MS = 5000;
/** Counts of opened slots that go into a heartbeat: those of some groups. Of a server's own moves there are more; they are one step of the server. */
const MOST_OPENED = 4096;

export function createProgress(request: MoveRequest, start: MoveTotals, sources: Sources): MoveBoard {
  const { ledger, probe, governor, waitsFor, countedBefore, since } = sources;
  const { moves, expected, strategy } = request;
  const left = new Map<SlotMove, Set<number>>(moves.map((move) => [move, new Set(slotsOf(move.slots))]));
  const arrived = new Map<number, number>();
  const pairKeys = new Map(Object.entries(start.pairKeys));
  const bySlot = (counts: Readonly<Record<string, number>>) =>
    new Map(Object.entries(counts).map(([slot, count]) => [Number(slot), count]));
  const missing = bySlot(start.missing);
  const opened = bySlot(start.opened);
  const evicted = new Set<number>();
  /** Slots whose keys count in `keys`, with how many; a lane, and whoever looks anew, may both see one arrive. */
  const counted = new Map<number, number>();
  const waiting = new Map<SlotMove, string>();
  let { keys, bytes } = start;
  let fellBack: string | undefined;
  let begun = start.keys > 0;
  let recounted = start.keys === 0;
  let samples: { readonly at: number; readonly keys: number }[] = [];
  let lastTold: { readonly at: number; readonly part: number; readonly state: string } = { at: 0, part: -1, state: '' };

  const sizes = new Map(moves.map((move) => [move, countSlots(move.slots)]));
  const slotsTotal = moves.reduce((sum, move) => sum + (sizes.get(move) ?? 0), 0);
  const slotsLeft = () => [...left.values()].reduce((sum, slots) => sum + slots.size, 0);
  const tookMs = () => start.tookMs + Date.now() - since;

  // Asked for with every heartbeat: what is long to write down is written down once.
  let prepared = { slots: -1, text: '' };
  const preparedSlots = (): string => {
    if (ledger.size !== prepared.slots) prepared = { slots: ledger.size, text: formatRanges(toRanges(ledger.slots())) };
    return prepared.text;
  };

  const totals = (): MoveTotals => {
    const open = ledger.slots().filter((slot) => !arrived.has(slot));
    return {
      startedAt: start.startedAt,
      countedBefore: countedBefore(),
      opened: opened.size > MOST_OPENED ? {} : Object.fromEntries(opened),
      missing: Object.fromEntries(missing),
      strategy,
      prepared: preparedSlots(),
      numbers: ledger.numbers(open),
      written: ledger.written,
      acknowledged: ledger.acknowledged,
      evicted: evicted.size,
      keys,
      bytes,
      pairKeys: Object.fromEntries(pairKeys),
      latencies: probe.all(),
      heldMs: governor.heldMs(),
      tookMs: tookMs(),
    };
  };
  const progress = (): MoveProgress => {
    const now = Date.now();
    samples = [...samples.filter(({ at }) => at > now - RATE_WINDOW_MS), { at: now, keys }];
    const [first] = samples;
    const seconds = first === undefined ? 0 : (now - first.at) / 1000;
    const keysPerSecond = first === undefined || seconds < 0.2 ? 0 : Math.round((keys - first.keys) / seconds);
    const slots = slotsTotal - slotsLeft();
    const share = slotsTotal === 0 ? 1 : slots / slotsTotal;
    const why = waitsFor() ?? [...waiting.values()][0];
    const { p50, p99, p999, max, samples: calls } = probe.recent();
    return {
      ...(why === undefined ? governor.state() : { state: 'waiting for a node', why }),
      strategy,
      slots,
      slotsTotal,
      keys,
      keysTotal: Math.max(keys, expected.keys),
      bytes: Math.round(bytes),
      bytesTotal: Math.max(Math.round(bytes), expected.bytes),
      keysPerSecond,
      ...(share > 0.01 ? { secondsLeft: Math.round(((tookMs() / share) * (1 - share)) / 1000) } : {}),
      latency: { samples: calls, p50: round(p50), p99: round(p99), p999: round(p999), max: round(max) },
      pairs: moves.map((move) => {
        const total = sizes.get(move) ?? 0;
        const gone = total - (left.get(move)?.size ?? 0);
        return { from: move.from, to: move.to, slots: gone, slotsTotal: total, keys: pairKeys.get(pairOf(move)) ?? 0 };
      }),
    };
  };

  const moved: MoveBoard['moved'] = (move, more, moreBytes) => {
    keys += more;
    bytes += moreBytes;
    pairKeys.set(pairOf(move), (pairKeys.get(pairOf(move)) ?? 0) + more);
  };
  const settle: MoveBoard['arrived'] = (move, slots, counts, own) => {
    for (const [index, slot] of slots.entries()) {
      if (counted.has(slot)) continue;
      const [before, after] = [opened.get(slot) ?? 0, counts[index] ?? 0];
      const data = Math.max(0, after - (own[index] ?? 0));
      counted.set(slot, data);
      left.get(move)?.delete(slot);
      arrived.set(slot, move.to);
      opened.delete(slot);
      begun = true;
      if (after < before) missing.set(slot, before - after);
      moved(move, data, 0);
    }
  };
  /** A replica that was promoted had not heard that the slot is its shard's: it will come once more. */
  const goneBack = (move: SlotMove, slot: number): void => {
    moved(move, -(counted.get(slot) ?? 0), 0);
    counted.delete(slot);
  };
  /** What an earlier attempt has told of keys may be some seconds old: the cluster knows better. */
  const countAnew = (): void => {
    keys = 0;
    pairKeys.clear();
    recounted = true;
  };

  return {
    async begin(crew) {
      for (const move of moves) {
        const [there, here] = [new Set(crew.slots(move.to)), new Set(crew.slots(move.from))];
        const slots = slotsOf(move.slots);
        const nowhere = slots.filter((slot) => !there.has(slot) && !here.has(slot));
        if (nowhere.length > 0) throw elsewhere(request.spec.name, move, nowhere);
        left.set(move, new Set(slots.filter((slot) => !there.has(slot))));
        for (const slot of slots) {
          if (there.has(slot)) arrived.set(slot, move.to);
          else if (arrived.delete(slot)) goneBack(move, slot);
        }
      }
      if (!recounted) countAnew();
      for (const move of moves) {
        const unsaid = slotsOf(move.slots).filter((slot) => arrived.has(slot) && !counted.has(slot));
        if (unsaid.length === 0) continue;
        try {
          const { wire, count } = crew.primary(move.to);
          settle(move, unsaid, await count(unsaid), await ledger.ownKeys(wire, unsaid));
        } catch (error) {
          if (!passes(error)) throw error; // else it is asked the next time
        }
        bytes = Math.max(bytes, keys * (request.bytesPerKey[move.from] ?? 0));
      }
    },
    left: (move) => [...(left.get(move) ?? [])],
    opened(slots, counts) {
      for (const [index, slot] of slots.entries()) opened.set(slot, counts[index] ?? 0);
    },
    moved,
    arrived: settle,
    arrivedSlots: () => arrived,
    shrunk: () => ({ keys: [...missing.values()].reduce((sum, one) => sum + one, 0), slots: [...missing.keys()] }),
    evicted: (slots) => {
      for (const slot of slots) evicted.add(slot);
    },
    waits: (move, why) => void (why === undefined ? waiting.delete(move) : waiting.set(move, why)),
    native: () => strategy === 'native',
    begun: () => begun,
    fallBack: (why) => {
      fellBack = why;
    },
    fellBack: () => fellBack,
    totals,
    heartbeat: () => ({ progress: progress(), resume: totals() }),
    async tell(how, last) {
      const now = progress();
      const part = Math.floor((now.slots * TELL.parts) / Math.max(1, now.slotsTotal));
      const ago = Date.now() - lastTold.at;
      const longer = (ms: number) => Math.max(ms, tookMs() * TELL.share);
      const gap = part !== lastTold.part ? TELL.everyMs : longer(now.state !== lastTold.state ? TELL.stateEveryMs : TELL.atLeastEveryMs);
      if (ago < gap && last === undefined) return;
      lastTold = { at: Date.now(), part, state: now.state };
      await how(now).catch(() => undefined); // it is for people's eyes; the heartbeat says the same
    },
  };
}

const round = (ms: number): number => Math.round(ms * 100) / 100;

const elsewhere = (cluster: string, { from, to }: SlotMove, slots: readonly number[]) =>
  fatal(
    failures.slotConflict,
    `slots ${formatRanges(toRanges(slots)).slice(0, 200)} of ${cluster} belong neither to shard ${from} nor to shard ${to} any more: somebody else moves slots. No slot was left open. Next: holdfast status ${cluster}, and plan again`,
  );
