/**
 * A client of a cluster like any other, in a process of its own: alternates GET and SET of keys that exist, one call every 2 ms whether or not
 * earlier ones were answered, so that a stall is felt by all who come meanwhile. Its first line of stdin is a ClientProbeOrder. It prints
 * `ready` when it is warm, and when stdin ends, or at SIGTERM, a ClientProbeReport.
 */
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { Cluster } from 'ioredis';
import { ports } from '../config/names.ts';
import { keyName, valueFor } from './rebalance-data.ts';

export interface ClientProbeOrder {
  readonly hosts: readonly string[];
  readonly username: string;
  readonly password: string;
  readonly caCert?: string;
  /** Keys 0 to keys - 1 exist. */
  readonly keys: number;
  readonly valueBytes: number;
}

/** Latencies in ms. */
export interface ClientProbeReport {
  readonly samples: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** How late its own timer came, p99: the part of the latencies that no server has caused, but the wait for a CPU and its own work. */
  readonly ownDelayP99: number;
  /** Calls that failed, with the first reason. */
  readonly errors: number;
  readonly firstError?: string;
  /** Keys that were read and not there: lost. */
  readonly missing: number;
}

const EVERY_MS = 2;
const WARMING_CALLS = 500;
const LAST_ANSWERS_MS = 10_000;

const lines = createInterface({ input: process.stdin });
const ended = new Promise<void>((resolve) => {
  lines.once('close', resolve);
  process.once('SIGTERM', resolve);
});
const first = await new Promise<string>((resolve) => lines.once('line', resolve));
const order = JSON.parse(first) as ClientProbeOrder;

const cluster = new Cluster(
  order.hosts.map((host) => ({ host, port: ports.server })),
  {
    redisOptions: {
      username: order.username,
      password: order.password,
      ...(order.caCert === undefined ? {} : { tls: { ca: order.caCert } }),
    },
    dnsLookup: (address, done) => done(null, address),
  },
);
cluster.on('error', () => undefined); // calls tell it

const latencies: number[] = [];
const delays: number[] = [];
const problems: string[] = [];
const underWay = new Set<Promise<void>>();
let missing = 0;
let turn = 0;

async function call(): Promise<void> {
  const index = Math.floor(Math.random() * order.keys);
  const start = performance.now();
  try {
    if (turn++ % 2 === 0) {
      if ((await cluster.get(keyName(index))) === null) missing++;
    } else await cluster.set(keyName(index), valueFor(index, order.valueBytes));
  } catch (error) {
    problems.push(String(error));
  }
  latencies.push(performance.now() - start);
}

for (let i = 0; i < WARMING_CALLS; i++) await call();
latencies.length = 0;
problems.length = 0;
console.log('ready');
let lastTick = performance.now();
const timer = setInterval(() => {
  const now = performance.now();
  delays.push(now - lastTick - EVERY_MS);
  lastTick = now;
  const made = call().finally(() => underWay.delete(made));
  underWay.add(made);
}, EVERY_MS);
await ended;
clearInterval(timer);
await Promise.race([Promise.all(underWay), pause(LAST_ANSWERS_MS)]);
cluster.disconnect();

const sorted = latencies.toSorted((a, b) => a - b);
const at = (share: number, of = sorted): number => of[Math.min(of.length - 1, Math.floor(of.length * share))] ?? 0;
const report: ClientProbeReport = {
  samples: sorted.length,
  p50: at(0.5),
  p99: at(0.99),
  p999: at(0.999),
  max: sorted.at(-1) ?? 0,
  ownDelayP99: at(
    0.99,
    delays.toSorted((a, b) => a - b),
  ),
  errors: problems.length,
  ...(problems[0] === undefined ? {} : { firstError: problems[0] }),
  missing,
};
process.stdout.write(`${JSON.stringify(report)}\n`, () => process.exit(0));
