import { setTimeout as sleep } from 'node:timers/promises';
import { addLatencies, type Latencies } from '../../model/migration/latency.ts';
import { SLOTS } from '../../model/slots.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { createClusterClient } from './cluster-client.ts';
import { keyOfSlot, type Ledger, probeWrite } from './ledger.ts';

/** What a client of the cluster feels, in ms. */
export interface ProbeView {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** How long the call that is under way waits already; 0 when none is. */
  readonly waiting: number;
  readonly samples: number;
}

/** A client of the cluster like any other, which writes into the ledger and reads from it while slots move. */
export interface Probe {
  /** Slots that it works on: those that are open come first. */
  open(slots: readonly number[]): void;
  close(slots: readonly number[]): void;
  /** Of the last two seconds. */
  recent(): ProbeView;
  /** Of all time, with those of earlier attempts. */
  all(): Latencies;
  stop(): Promise<void>;
}

const EVERY_MS = 4;
const WINDOW_MS = 2000;
const STOPPED_WITHIN_MS = 3000;
/** Of its calls, those that go where slots are open: more than a client's would, which knows nothing of them. They are for the ledger, and not measured. */
const OPEN_SHARE = 0.2;

/**
 * @param copies whether shards have replicas: then a write is acknowledged when one of them has it
 * @param mayWrite whether this attempt is known to be the one that counts: one that was frozen would write keys that the next has removed
 */
export function startProbe(
  nodes: readonly NodeAddress[],
  ledger: Ledger,
  { before, copies, mayWrite }: { readonly before: Latencies; readonly copies: boolean; readonly mayWrite: () => boolean },
): Probe {
  const cluster = createClusterClient(nodes);
  const open = new Set<number>();
  let openSlots: readonly number[] = [];
  let known: readonly number[] = [];
  let window: { readonly at: number; readonly ms: number }[] = [];
  let all = before;
  let fresh: number[] = [];
  let waitingSince: number | undefined;
  let running = true;

  const anyOf = (slots: readonly number[]): number | undefined => slots[Math.floor(Math.random() * slots.length)];
  const call = async (slot: number, write: boolean, measured: boolean): Promise<void> => {
    const start = performance.now();
    waitingSince = start;
    const number = write ? ledger.next() : 0;
    let done = false;
    try {
      await cluster.call(slot, write ? ['SET', ...probeWrite(slot, number)] : ['GET', keyOfSlot(slot)]);
      done = true;
    } catch {
      // Nobody knows whether it happened: it is not acknowledged, and its time counts all the same.
    } finally {
      waitingSince = undefined;
      const now = performance.now();
      if (measured) {
        fresh.push(now - start);
        window.push({ at: now, ms: now - start });
        if (fresh.length >= 100) fold(now);
      }
    }
    if (write && done && (!copies || (await cluster.isCopied()))) ledger.acknowledge(slot, number);
  };
  const fold = (now: number): void => {
    all = addLatencies(all, fresh);
    fresh = [];
    window = window.filter(({ at }) => at > now - WINDOW_MS);
  };
  const work = async (): Promise<void> => {
    for (let turn = 0; running; turn++) {
      const write = turn % 2 === 0 && mayWrite();
      if (known.length !== ledger.size) known = ledger.slots();
      const where = openSlots.length > 0 && Math.random() < OPEN_SHARE ? openSlots : undefined;
      // Reads go anywhere, as those of a client do; writes where the ledger has a key.
      const slot = where === undefined && !write ? Math.floor(Math.random() * SLOTS) : anyOf(where ?? known);
      if (slot !== undefined) await call(slot, write, where === undefined);
      await sleep(EVERY_MS);
    }
  };
  const ended = work();

  return {
    open: (slots) => {
      for (const slot of slots) open.add(slot);
      openSlots = [...open];
    },
    close: (slots) => {
      for (const slot of slots) open.delete(slot);
      openSlots = [...open];
    },
    recent() {
      const now = performance.now();
      const ms = window
        .filter(({ at }) => at > now - WINDOW_MS)
        .map((one) => one.ms)
        .sort((a, b) => a - b);
      const waiting = waitingSince === undefined ? 0 : now - waitingSince;
      const at = (share: number) => ms[Math.floor(ms.length * share)] ?? 0;
      return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: Math.max(0, ms.at(-1) ?? 0), waiting, samples: ms.length };
    },
    all: () => addLatencies(all, fresh),
    async stop() {
      running = false;
      cluster.close(); // a call that waits for a dead node is ended by it
      await Promise.race([ended, sleep(STOPPED_WITHIN_MS)]);
    },
  };
}
