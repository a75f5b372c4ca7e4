import { Worker } from 'node:worker_threads';
import { addLatencies, type Latencies } from '../../model/migration/latency.ts';
import type { NodeAddress } from '../redis/connection.ts';
import type { Ledger } from './ledger.ts';
import type { ProbeNews, ProbeOrders } from './probe-thread.ts';

/** What a client of the cluster feels, in ms. */
export interface ProbeView {
  readonly p99: number;
  readonly max: number;
  /** How long the call that is under way waits already; 0 when none is. */
  readonly waiting: number;
  readonly samples: number;
}

/** A client of the cluster like any other, in a thread of its own, which writes into the ledger and reads from it while slots move. */
export interface Probe {
  /** Slots that it works on, besides all that have a key of the ledger. */
  open(slots: readonly number[]): void;
  close(slots: readonly number[]): void;
  /** Of the last two seconds. */
  recent(): ProbeView;
  /** Of all time, with those of earlier attempts. */
  all(): Latencies;
  /** Why it ended before it was told to. */
  failure(): Error | undefined;
  stop(): Promise<void>;
}

const WINDOW_MS = 2000;

/** The sources run as they are, and so does what is built from them. */
const thread = new URL(`./probe-thread.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url);

export function startProbe(nodes: readonly NodeAddress[], ledger: Ledger, before: Latencies): Probe {
  const worker = new Worker(thread, { workerData: { nodes }, resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 } });
  const open = new Set<number>();
  let window: { readonly at: number; readonly ms: number }[] = [];
  let all = before;
  let waitingSince: number | undefined;
  let failure: Error | undefined;

  worker.on('message', (news: ProbeNews) => {
    const now = Date.now();
    ledger.written += news.written;
    for (const [slot, number] of news.acknowledged) ledger.acknowledge(slot, number);
    all = addLatencies(all, news.ms);
    window = [...window.filter(({ at }) => at > now - WINDOW_MS), ...news.ms.map((ms) => ({ at: now, ms }))];
    waitingSince = news.waitingSince;
  });
  worker.on('error', (error: Error) => {
    failure = error;
  });
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => resolve());
  });
  const order = (orders: ProbeOrders) => worker.postMessage(orders);
  ledger.onNew((slots) => order({ known: slots }));

  return {
    open(slots) {
      for (const slot of slots) open.add(slot);
      order({ open: [...open] });
    },
    close(slots) {
      for (const slot of slots) open.delete(slot);
      order({ open: [...open] });
    },
    recent() {
      const now = Date.now();
      const ms = window
        .filter(({ at }) => at > now - WINDOW_MS)
        .map((one) => one.ms)
        .sort((a, b) => a - b);
      const waiting = waitingSince === undefined ? 0 : now - waitingSince;
      return { p99: ms[Math.floor(ms.length * 0.99)] ?? 0, max: Math.max(0, ms.at(-1) ?? 0), waiting, samples: ms.length };
    },
    all: () => all,
    failure: () => failure,
    async stop() {
      order({ stop: true });
      await ended;
    },
  };
}
