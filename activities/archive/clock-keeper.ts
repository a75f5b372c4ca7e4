import { setTimeout as sleep } from 'node:timers/promises';
import calculateSlot from 'cluster-key-slot';
import { formatRange, type SlotRange } from '../../model/slots.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { parseClusterNodes, parseInfo } from '../redis/parse.ts';
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

export interface ClockDeps {
  readonly mode: 'cluster' | 'sentinel';
  /** The primary as of now; undefined when there is none. */
  readonly findPrimary: () => Promise<NodeAddress | undefined>;
  /** The shard has these slots, at this offset of its primary's stream. Must return at once. */
  readonly onSlots: (slots: string, offset: number) => void;
  readonly signal: AbortSignal;
}

const EVERY_MS = 200;
const SLOTS_EVERY_MS = 1000;
/** Other changes than those that raise an epoch are found then. */
const WHOLE_EVERY_MS = 30_000;
const ANSWER_MS = 2000;
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [500, 5000];

/** Goes on in the background until it is stopped. A primary that is away holds nothing up: it is looked for again and again. */
export function keepClock({ mode, findPrimary, onSlots, signal: outer }: ClockDeps): ClockKeeper {
  const ending = new AbortController();
  const signal = AbortSignal.any([outer, ending.signal]);
  let [writtenAtMs, problem]: [number | undefined, string | undefined] = [undefined, undefined];

  async function on(wire: Wire): Promise<void> {
    let tag = 't';
    let [epochs, wholeAt, slotsAt] = ['', 0, 0];
    while (!signal.aborted) {
      if (mode === 'cluster' && Date.now() - slotsAt >= SLOTS_EVERY_MS) {
        slotsAt = Date.now();
        const now = epochsOf(String((await wire.ask([['CLUSTER', 'INFO']], ANSWER_MS))[0]));
        if (now !== epochs || slotsAt - wholeAt >= WHOLE_EVERY_MS) {
          const [nodes, info] = await wire.ask(
            [
              ['CLUSTER', 'NODES'],
              ['INFO', 'replication'],
            ],
            ANSWER_MS,
          );
          const slots = parseClusterNodes(String(nodes)).find(({ myself }) => myself)?.slots ?? [];
          const text = slots.map(formatRange).join(',');
          onSlots(text, Number(parseInfo(String(info)).get('master_repl_offset') ?? 0));
          [epochs, wholeAt] = [now, slotsAt];
          tag = tagIn(slots) ?? '';
        }
      }
      if (tag !== '') {
        const [reply] = await wire.ask([clockCommand(tag)], ANSWER_MS);
        if (reply instanceof Error) throw reply; // it is no primary any more, the slot has moved, or it takes no writes: look again
        [writtenAtMs, problem] = [Date.now(), undefined];
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

/** A change of slots raises one of them. */
const epochsOf = (info: string): string => {
  const fields = parseInfo(info);
  return ['cluster_current_epoch', 'cluster_my_epoch', 'cluster_slots_assigned'].map((name) => fields.get(name)).join(' ');
};

/** A tag that hashes to one of these slots; undefined when there are none. */
function tagIn(slots: readonly SlotRange[]): string | undefined {
  if (slots.length === 0) return undefined;
  // Another one each time: the slot of the last one may be open, and on its way to another shard.
  for (let number = Math.floor(Math.random() * 100_000); ; number++) {
    const slot = calculateSlot(number.toString(36));
    if (slots.some(([from, to]) => slot >= from && slot <= to)) return number.toString(36);
  }
}
