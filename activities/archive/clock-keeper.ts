import { setTimeout as sleep } from 'node:timers/promises';
import { formatRange, hasSlot, type SlotRange } from '../../model/slots.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { slotOfKey } from '../redis/key-slot.ts';
import { parseClusterNodes, parseInfo } from '../redis/parse.ts';
import { ServerError } from '../redis/protocol.ts';
import { openWire, type Wire } from '../redis/wire.ts';
import { clockCommand } from '../replication/clock.ts';
import { messageOf } from '../support/failure.ts';

/** Writes the time into a shard's stream, and notices when its slots change. */
export interface ClockKeeper {
  /** When a write of the time was acknowledged last, by `Date.now()`; undefined before the first. */
  readonly writtenAtMs: number | undefined;
  /** Why it cannot be written now. */
  readonly problem: string | undefined;
  stop(): Promise<void>;
}

/** The slots of a shard, as its primary tells them. */
export interface SlotState {
  readonly slots: string;
  /** Some of them, or of others that come, are open: keys are on their way. */
  readonly open: boolean;
}

export interface SlotsSeen extends SlotState {
  /** Of the primary's stream. */
  readonly offset: number;
  /** By the primary's clock, ms since 1970. */
  readonly ms: number;
  /** When it was otherwise for the last time; missing when nobody had looked before. */
  readonly sinceMs?: number;
}

export interface ClockDeps {
  readonly mode: 'cluster' | 'sentinel';
  /** The primary as of now; undefined when there is none. */
  readonly findPrimary: () => Promise<NodeAddress | undefined>;
  /** What was seen is not what was seen before, or was seen for the first time. Must return at once. */
  readonly onSlots: (seen: SlotsSeen) => void;
  readonly signal: AbortSignal;
}

const EVERY_MS = 200;
/** Slots are looked at so often, and every time while they move. What cannot be seen in between is told by the times of two looks. */
const SLOTS_EVERY_MS = 1000;
const MOVING_MS = 3000;
/** In a large cluster they are looked at more seldom: every node tells of every other. */
const LONGEST_BETWEEN_LOOKS_MS = 5000;
const BYTES_A_SECOND = 64 * 1024;
const ANSWER_MS = 2000;
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [500, 5000];

/** Goes on in the background until it is stopped. A primary that is away holds nothing up: it is looked for again and again. */
export function keepClock({ mode, findPrimary, onSlots, signal: outer }: ClockDeps): ClockKeeper {
  const ending = new AbortController();
  const signal = AbortSignal.any([outer, ending.signal]);
  let [writtenAtMs, problem]: [number | undefined, string | undefined] = [undefined, undefined];
  let seen: SlotsSeen | undefined;
  let movingUntil = 0;

  async function on(wire: Wire): Promise<void> {
    let [tag, tagFor] = ['t', ''];
    let lookAt = 0;
    while (!signal.aborted) {
      if (mode === 'cluster' && Date.now() >= lookAt) {
        const { slots, now, bytes } = await lookAtSlots(wire);
        const same = seen !== undefined && seen.slots === now.slots && seen.open === now.open;
        if (!same) onSlots({ ...now, ...(seen === undefined ? {} : { sinceMs: seen.ms }) });
        const moving = now.open || (!same && seen !== undefined);
        seen = now;
        const pauseMs = Math.min(LONGEST_BETWEEN_LOOKS_MS, Math.max(SLOTS_EVERY_MS, (1000 * bytes) / BYTES_A_SECOND));
        if (moving) movingUntil = Date.now() + MOVING_MS;
        lookAt = Date.now() + (Date.now() < movingUntil ? 0 : pauseMs);
        if (tagFor !== now.slots || tag === 't') [tag, tagFor] = [tagIn(slots) ?? '', now.slots];
      }
      if (tag !== '') {
        const [reply] = await wire.ask([clockCommand(tag)], ANSWER_MS);
        // Without one of its shards a whole cluster takes no writes. It takes them again at once, and then the time must be there.
        const waits = reply instanceof ServerError && reply.kind === 'CLUSTERDOWN';
        if (reply instanceof Error && !waits) throw reply; // it is no primary any more, the slot has moved, or it takes no writes: look again
        if (waits) problem = reply.message;
        else [writtenAtMs, problem] = [Date.now(), undefined];
      }
      await sleep(EVERY_MS, undefined, { signal });
    }
  }

  async function run(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; !signal.aborted; ) {
      let wire: Wire | undefined;
      const before = writtenAtMs;
      try {
        const primary = await findPrimary();
        if (primary === undefined) throw new Error('there is no primary');
        wire = await openWire(primary);
        await on(wire);
      } catch (error) {
        if (signal.aborted) return;
        problem = messageOf(error);
        pauseMs = writtenAtMs === before ? Math.min(2 * pauseMs, LONGEST_PAUSE_MS) : FIRST_PAUSE_MS;
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      } finally {
        wire?.close();
      }
    }
  }

  const running = run();
  return {
    get writtenAtMs() {
      return writtenAtMs;
    },
    get problem() {
      return problem;
    },
    async stop() {
      ending.abort();
      await running;
    },
  };
}

/** What the primary says of its own slots. Only its own line is read: there may be very many. */
async function lookAtSlots(wire: Wire): Promise<{ readonly slots: readonly SlotRange[]; readonly now: SlotsSeen; readonly bytes: number }> {
  // The time first: what is told after it was not otherwise before it.
  const [time, nodes, info] = await wire.ask([['TIME'], ['CLUSTER', 'NODES'], ['INFO', 'replication']], ANSWER_MS);
  const [seconds, micros] = Array.isArray(time) ? time.map(Number) : [];
  const text = String(nodes);
  const at = text.indexOf('myself,');
  const line = text.slice(text.lastIndexOf('\n', at) + 1).split('\n', 1);
  const [{ slots = [], openSlots = [] } = {}] = at === -1 ? [] : parseClusterNodes(line.join(''));
  const now = {
    slots: slots.map(formatRange).join(','),
    open: openSlots.length > 0,
    offset: Number(parseInfo(String(info)).get('master_repl_offset') ?? 0),
    ms: (seconds ?? 0) * 1000 + Math.floor((micros ?? 0) / 1000),
  };
  return { slots, now, bytes: text.length };
}

/** A tag that hashes to one of these slots; undefined when there are none. */
function tagIn(slots: readonly SlotRange[]): string | undefined {
  if (slots.length === 0) return undefined;
  // Another one each time: the slot of the last one may be open, and on its way to another shard.
  for (let number = Math.floor(Math.random() * 100_000); ; number++) {
    const slot = slotOfKey(Buffer.from(number.toString(36)));
    if (hasSlot(slots, slot)) return number.toString(36);
  }
}
