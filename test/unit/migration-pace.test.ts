import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type MoveLimits, moveLimits } from '../../config/migration.ts';
import { addLatencies, type Latencies, noLatencies, summarise } from '../../model/migration/latency.ts';
import { afterBatch, afterProbe, firstPace, keysWithin, type Pace, targetMs } from '../../model/migration/pace.ts';

const limits = (change: Partial<MoveLimits> = {}): MoveLimits => moveLimits.parse(change);
const anyLimits = fc
  .record({
    probeP99Ms: fc.double({ min: 0.5, max: 200, noNaN: true }),
    batchKeys: fc.integer({ min: 1, max: 10_000 }),
    batchBytes: fc.integer({ min: 1024, max: 256 * 1024 ** 2 }),
  })
  .map(limits);
const event = fc.oneof(
  fc.record({ what: fc.constant('batch' as const), full: fc.boolean(), ms: fc.double({ min: 0, max: 3000, noNaN: true }) }),
  fc.record({ what: fc.constant('probe' as const), ms: fc.double({ min: 0, max: 3000, noNaN: true }) }),
);

/** A source whose MIGRATE takes so long for each key, and before the first one. */
const drive = (bounds: MoveLimits, batches: number, tookMs: (keys: number) => number, from: Pace = firstPace): Pace => {
  let pace = from;
  for (let i = 0; i < batches; i++) {
    const keys = keysWithin(pace, 100, bounds);
    pace = afterBatch(pace, { keys, tookMs: tookMs(keys) }, bounds);
  }
  return pace;
};

describe('the pace of a move', () => {
  test('stays within its bounds, whatever happens', () => {
    fc.assert(
      fc.property(anyLimits, fc.array(event, { maxLength: 200 }), fc.integer({ min: 0, max: 2 ** 30 }), (bounds, events, bytesPerKey) => {
        let pace = firstPace;
        for (const one of events) {
          const keys = keysWithin(pace, bytesPerKey, bounds);
          expect(keys).toBeGreaterThanOrEqual(1);
          expect(keys).toBeLessThanOrEqual(bounds.batchKeys);
          if (keys > 1) expect(keys * bytesPerKey).toBeLessThanOrEqual(bounds.batchBytes);
          pace =
            one.what === 'probe'
              ? afterProbe(pace, one.ms, bounds)
              : afterBatch(pace, { keys: one.full ? keys : Math.ceil(keys / 2), tookMs: one.ms }, bounds);
          expect(Number.isInteger(pace.batchKeys)).toBe(true);
          expect(pace.batchKeys).toBeGreaterThanOrEqual(10);
          expect(pace.batchKeys).toBeLessThanOrEqual(Math.max(firstPace.batchKeys, bounds.batchKeys));
          expect(pace.rest).toBeGreaterThanOrEqual(0);
          expect(pace.rest).toBeLessThanOrEqual(9);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('comes to batches that take about what one may take, from both sides, and stays there', () => {
    const perKey = fc.double({ min: 0.002, max: 0.2, noNaN: true });
    fc.assert(
      fc.property(perKey, fc.constantFrom(2, 10, 40), fc.integer({ min: 10, max: 1000 }), (msPerKey, probeP99Ms, start) => {
        const bounds = limits({ probeP99Ms });
        const target = targetMs(bounds);
        let pace = drive(bounds, 300, (keys) => keys * msPerKey, { batchKeys: start, rest: 0 });
        for (let i = 0; i < 50; i++) {
          pace = drive(bounds, 1, (keys) => keys * msPerKey, pace);
          const took = pace.batchKeys * msPerKey;
          if (pace.batchKeys > 10) expect(took).toBeLessThanOrEqual(target + 10 * msPerKey);
          if (pace.batchKeys < bounds.batchKeys) expect(took).toBeGreaterThan(Math.min(target * 0.55, target - 11 * msPerKey));
        }
      }),
      { numRuns: 200 },
    );
  });

  test('never makes a batch larger by more than a step, and makes it smaller by a factor', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 1000 }), fc.double({ min: 0, max: 100, noNaN: true }), (batchKeys, tookMs) => {
        const after = afterBatch({ batchKeys, rest: 0 }, { keys: batchKeys, tookMs }, limits()).batchKeys;
        expect(after).toBeLessThanOrEqual(batchKeys + 10);
        if (tookMs > targetMs(limits())) expect(after).toBeLessThanOrEqual(Math.max(10, batchKeys * 0.7));
        else expect(after).toBeGreaterThanOrEqual(batchKeys);
      }),
      { numRuns: 200 },
    );
  });

  test('learns from a batch that was not full only when it took too long', () => {
    const pace = { batchKeys: 200, rest: 0 };
    expect(afterBatch(pace, { keys: 3, tookMs: 0.1 }, limits())).toEqual(pace);
    expect(afterBatch(pace, { keys: 100, tookMs: 50 }, limits()).batchKeys).toBe(100);
  });

  test('goes down when the probe is over its budget: first the keys, then with ever longer rests, to a quarter of the speed and no lower', () => {
    let pace: Pace = { batchKeys: 100, rest: 0 };
    const seen: Pace[] = [];
    for (let i = 0; i < 20; i++) {
      pace = afterProbe(pace, 50, limits());
      seen.push(pace);
    }
    const firstRest = seen.findIndex(({ rest }) => rest > 0);
    expect(seen[firstRest - 1]?.batchKeys).toBeLessThanOrEqual(20);
    expect(seen.slice(0, firstRest).every(({ rest }) => rest === 0)).toBe(true);
    expect(seen.at(-1)).toEqual({ batchKeys: 10, rest: 3 });
  });

  test('is left alone just below the budget, and rests no more when the probe is well below it', () => {
    const slow: Pace = { batchKeys: 10, rest: 3 };
    expect(afterProbe(slow, 9, limits())).toEqual(slow);
    let pace = slow;
    for (let i = 0; i < 30; i++) pace = afterProbe(pace, 1, limits());
    expect(pace).toEqual({ batchKeys: 10, rest: 0 });
  });

  test('follows new limits: a smaller budget makes smaller batches', () => {
    const cost = (keys: number) => keys * 0.02;
    const wide = drive(limits({ probeP99Ms: 20 }), 300, cost);
    const narrow = drive(limits({ probeP99Ms: 2 }), 300, cost, wide);
    expect(narrow.batchKeys).toBeLessThan(wide.batchKeys / 4);
  });
});

describe('latencies in buckets', () => {
  const sample = fc.oneof(
    fc.double({ min: 0, max: 60_000, noNaN: true }),
    fc.double({ min: 0, max: 5, noNaN: true }),
    fc.constantFrom(0, 0.02, 1),
  );
  const samples = fc.array(sample, { minLength: 1, maxLength: 300 });
  const rank = (all: readonly number[], share: number) => all.toSorted((a, b) => a - b)[Math.ceil(all.length * share) - 1] ?? 0;

  test('say of every percentile what the samples themselves say, within 8 %', () => {
    fc.assert(
      fc.property(samples, (all) => {
        const summary = summarise(addLatencies(noLatencies, all));
        expect(summary.samples).toBe(all.length);
        expect(summary.max).toBeCloseTo(Math.max(...all), 2);
        for (const [told, share] of [
          [summary.p50, 0.5],
          [summary.p99, 0.99],
          [summary.p999, 0.999],
        ] as const) {
          const exact = rank(all, share);
          expect(told).toBeGreaterThanOrEqual(exact - 0.006);
          expect(told).toBeLessThanOrEqual(Math.max(0.02, exact * 1.0801) + 0.006);
        }
        expect(summary.p50).toBeLessThanOrEqual(summary.p99);
        expect(summary.p99).toBeLessThanOrEqual(summary.p999);
        expect(summary.p999).toBeLessThanOrEqual(summary.max);
      }),
      { numRuns: 300 },
    );
  });

  test('are the same in whatever parts they are added, and after a way through a heartbeat', () => {
    fc.assert(
      fc.property(fc.array(samples, { maxLength: 5 }), (parts) => {
        const once = addLatencies(noLatencies, parts.flat());
        const throughJson = (one: Latencies) => JSON.parse(JSON.stringify(one)) as Latencies;
        const inParts = parts.reduce((before, part) => throughJson(addLatencies(before, part)), noLatencies);
        expect(inParts).toEqual(once);
      }),
      { numRuns: 100 },
    );
  });

  test('take bounded space, however many there are', () => {
    const all = Array.from({ length: 20_000 }, (_, i) => i % 7000);
    expect(JSON.stringify(addLatencies(noLatencies, all)).length).toBeLessThan(1000);
  });

  test('of nothing are all 0', () => {
    expect(summarise(noLatencies)).toEqual({ samples: 0, p50: 0, p99: 0, p999: 0, max: 0 });
  });
});
