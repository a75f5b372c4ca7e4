import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { keyOf } from './backup-data.ts';

/** What a writer felt, in ms. */
export interface Felt {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const EVERY_MS = 2;

/** Writes to keys that exist, one every 2 ms whether or not earlier ones were answered, while the work goes on. */
export async function whileWriting<T>(
  redis: Redis,
  keys: number,
  value: () => Buffer,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly felt: Felt }> {
  const latencies: number[] = [];
  const write = async () => {
    const start = performance.now();
    await redis.set(keyOf(Math.floor(Math.random() * keys)), value());
    latencies.push(performance.now() - start);
  };
  const underWay = new Set<Promise<void>>();
  const timer = setInterval(() => {
    const made: Promise<void> = write().finally(() => underWay.delete(made));
    underWay.add(made);
  }, EVERY_MS);
  try {
    const result = await work();
    clearInterval(timer);
    await Promise.race([Promise.all(underWay), pause(10_000)]);
    const sorted = latencies.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { result, felt: { p50: at(0.5), p99: at(0.99), max: at(1) } };
  } finally {
    clearInterval(timer);
  }
}
