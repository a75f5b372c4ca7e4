import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { NodeAddress } from '../redis/connection.ts';
import { createClusterClient } from './cluster-client.ts';
import { keyOfSlot, probeWrite } from './probe-keys.ts';

/**
 * The probe's own thread: what it feels is what a client feels, and not what the mover's own work costs it. It tells of its calls in batches.
 */
export interface ProbeOrders {
  /** Slots that are open now. */
  readonly open?: readonly number[];
  /** Slots that have a key of the ledger from now on, with the number of its last write. */
  readonly known?: readonly (readonly [slot: number, number: number])[];
  readonly stop?: true;
}

export interface ProbeNews {
  /** Milliseconds of each call. */
  readonly ms: readonly number[];
  readonly written: number;
  readonly acknowledged: readonly (readonly [slot: number, number: number])[];
  /** Since when, in ms since 1970, the call waits that is under way. */
  readonly waitingSince?: number;
}

const EVERY_MS = 4;
const TELL_EVERY_MS = 50;
/** Of its calls, those that go where slots are open: more than a client's would, which knows nothing of them, but not so many that it feels only these. */
const OPEN_SHARE = 0.2;

async function probe(): Promise<void> {
  const cluster = createClusterClient((workerData as { readonly nodes: readonly NodeAddress[] }).nodes);
  const numbers = new Map<number, number>();
  let known: number[] = [];
  let open: readonly number[] = [];
  let running = true;
  let ms: number[] = [];
  let acknowledged: [number, number][] = [];
  let written = 0;
  let waitingSince: number | undefined;

  const tell = () => {
    const news: ProbeNews = { ms, written, acknowledged, ...(waitingSince === undefined ? {} : { waitingSince }) };
    parentPort?.postMessage(news);
    [ms, acknowledged, written] = [[], [], 0];
  };
  parentPort?.on('message', (orders: ProbeOrders) => {
    if (orders.open !== undefined) open = orders.open;
    for (const [slot, number] of orders.known ?? []) {
      if (!numbers.has(slot)) known.push(slot);
      numbers.set(slot, number);
    }
    if (orders.stop === true) {
      running = false;
      cluster.close(); // a call that waits for a dead node is ended by it
    }
  });
  const timer = setInterval(tell, TELL_EVERY_MS);
  for (let turn = 0; running; turn++) {
    const from = open.length > 0 && Math.random() < OPEN_SHARE ? open : known;
    const slot = from[Math.floor(Math.random() * from.length)];
    if (slot !== undefined) {
      const start = performance.now();
      waitingSince = Date.now();
      try {
        if (turn % 2 === 0) {
          const number = (numbers.get(slot) ?? 0) + 1;
          written++;
          await cluster.call(slot, ['SET', ...probeWrite(slot, number)]);
          numbers.set(slot, number);
          acknowledged.push([slot, number]);
        } else await cluster.call(slot, ['GET', keyOfSlot(slot)]);
      } catch {
        // Nobody knows whether it happened: it is not acknowledged, and its time counts all the same.
      }
      waitingSince = undefined;
      ms.push(performance.now() - start);
    }
    await sleep(EVERY_MS);
  }
  clearInterval(timer);
  tell();
  known = [];
  parentPort?.close();
}

if (parentPort !== null) await probe();
