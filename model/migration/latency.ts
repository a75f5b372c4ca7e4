import type { LatencySummary } from '../../config/migration.ts';

/**
 * Latencies of any number of calls in a bounded space: counts in buckets, each 8 % wider than the one before, from 0.02 ms on. What it says of a
 * percentile is right within 8 %.
 */
export interface Latencies {
  readonly counts: readonly number[];
  readonly max: number;
}

export const noLatencies: Latencies = { counts: [], max: 0 };

const FIRST_MS = 0.02;
const GROWTH = 1.08;

const bucketOf = (ms: number): number => (ms <= FIRST_MS ? 0 : Math.ceil(Math.log(ms / FIRST_MS) / Math.log(GROWTH)));
const upperOf = (bucket: number): number => FIRST_MS * GROWTH ** bucket;

/** Adds what was measured, in ms. */
export function addLatencies(before: Latencies, ms: readonly number[]): Latencies {
  const counts = [...before.counts];
  let { max } = before;
  for (const one of ms) {
    const bucket = bucketOf(one);
    while (counts.length <= bucket) counts.push(0);
    counts[bucket] = (counts[bucket] ?? 0) + 1;
    max = Math.max(max, one);
  }
  return { counts, max };
}

export function summarise({ counts, max }: Latencies): LatencySummary {
  const samples = counts.reduce((sum, one) => sum + one, 0);
  const percentile = (share: number): number => {
    let left = Math.ceil(samples * share);
    const bucket = counts.findIndex((one) => {
      left -= one;
      return left <= 0;
    });
    return bucket < 0 ? 0 : round(Math.min(max, upperOf(bucket)));
  };
  return { samples, p50: percentile(0.5), p99: percentile(0.99), p999: percentile(0.999), max: round(max) };
}

const round = (ms: number): number => Math.round(ms * 100) / 100;
