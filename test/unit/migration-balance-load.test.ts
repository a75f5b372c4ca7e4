import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planMoves } from '../../model/migration/balance.ts';
import { formatRanges, slotsOf } from '../../model/migration/moves.ts';
import { countSlots, evenSlotRanges, SLOTS } from '../../model/slots.ts';
import { applied, build, checkSound, imbalance, loads, makeLoad, seed, shards, standing, thresholds, told } from './migration-shards.ts';

describe('by load', () => {
  test('no shard goes further off its share than the threshold, and planning again gives nothing', () => {
    fc.assert(
      fc.property(shards, loads, thresholds, (before, load, thresholdPercent) => {
        const options = { load, thresholdPercent };
        const result = checkSound(before, planMoves(before, options));
        const [was, is] = [standing(before, load), standing(result, load)];
        const total = was.reduce((sum, one) => sum + one.load, 0);
        const error = total * 1e-9;
        expect(imbalance(result, load)).toBeLessThanOrEqual(imbalance(before, load) + error);
        // A drained slot must go somewhere, also where it is heavier than what any shard lacks.
        const drained = before.filter(({ weight }) => weight === 0).flatMap(({ slots }) => slotsOf(slots));
        const heaviest = Math.max(0, ...drained.map((slot) => load[slot] ?? 0));
        for (const [i, one] of is.entries()) {
          const off = Math.abs((was[i]?.load ?? 0) - one.target);
          const most = Math.max(off, (one.target * thresholdPercent) / 100, one.load > one.target ? heaviest : 0);
          expect(Math.abs(one.load - one.target)).toBeLessThanOrEqual(most + error);
        }
        const again = planMoves(result, options);
        const overshot = is.some((one, i) => one.load > (was[i]?.load ?? 0) && one.load - one.target > error);
        if (heaviest === 0 || !overshot) expect(again).toEqual([]);
        expect(planMoves(applied(result, again), options)).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });

  test('slots of up to a fiftieth of the smallest share bring every shard within 2 % of its share', () => {
    const fine = fc.integer({ min: 1, max: 60 }).chain((count) =>
      fc.record({
        weights: fc.array(fc.constantFrom(0, 1, 1, 1, 2, 3), { minLength: count, maxLength: count }),
        longest: fc.constantFrom(1, 7, 300, 6000),
        owners: fc.integer({ min: 1, max: count }),
        seed,
      }),
    );
    fc.assert(
      fc.property(fine.map(build), fc.constantFrom('random', 'fractions', 'even'), seed, (before, kind, its) => {
        const load = makeLoad(kind, its);
        const targets = standing(before, load).flatMap(({ target }) => (target > 0 ? [target] : []));
        fc.pre(Math.max(...load) <= Math.min(...targets) / 50);
        const options = { load, thresholdPercent: 2 };
        const result = checkSound(before, planMoves(before, options));
        for (const one of standing(result, load)) expect(Math.abs(one.load - one.target)).toBeLessThanOrEqual(one.target * 0.02 + 1e-6);
        expect(planMoves(result, options)).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('coarse slots, each a fiftieth of a share, still bring a new shard within 2 %', () => {
    const before = Array.from({ length: 51 }, (_, shard) => ({
      shard,
      weight: 1,
      slots: shard < 50 ? [[shard * 50, shard * 50 + 49] as const] : [],
    }));
    const load = Array.from({ length: 2500 }, (_, slot) => (slot % 50 === 0 ? 60 : 50)); // a share is 2461, a slot 50, 2 % is 49.2
    const result = applied(before, planMoves(before, { load, thresholdPercent: 2.1 }));
    for (const one of standing(result, load)) expect(Math.abs(one.load - one.target)).toBeLessThanOrEqual(one.target * 0.021);
  });

  test('a cut plan makes nothing worse, and drained shards go first', () => {
    fc.assert(
      fc.property(shards, loads, fc.integer({ min: 1, max: 2000 }), (before, load, maxMoves) => {
        const moves = planMoves(before, { load, thresholdPercent: 2, maxMoves });
        const result = checkSound(before, moves, { maxMoves });
        const total = standing(before, load).reduce((sum, one) => sum + one.load, 0);
        expect(imbalance(result, load)).toBeLessThanOrEqual(imbalance(before, load) + total * 1e-9);
        const drained = standing(before, load).reduce((sum, { drains, slots }) => sum + (drains ? slots : 0), 0);
        const left = standing(result, load).reduce((sum, { drains, slots }) => sum + (drains ? slots : 0), 0);
        expect(left).toBe(Math.max(0, drained - maxMoves));
      }),
      { numRuns: 50 },
    );
  });

  test('one heavy slot that fits goes, rather than many light ones', () => {
    const before = evenSlotRanges(3).map((range, shard) => ({ shard, weight: 1, slots: [range] }));
    const load = Array.from({ length: SLOTS }, (_, slot) => (slot === 42 ? 3000 : slot < 5461 || slot > 10_922 ? 1 : 0.45));
    expect(told(planMoves(before, { load, thresholdPercent: 5 }))).toBe('0 -> 1: 42');
  });

  test('shards within the threshold are left alone, and so are their slots', () => {
    const before = evenSlotRanges(4).map((range, shard) => ({ shard, weight: 1, slots: [range] }));
    const load = Array.from({ length: SLOTS }, (_, slot) => (slot < 4096 ? 130 : slot < 8192 ? 70 : slot < 12_288 ? 101 : 99));
    const moves = planMoves(before, { load, thresholdPercent: 2 });
    expect(moves.map(({ from, to }) => [from, to])).toEqual([[0, 1]]);
    expect(planMoves(before, { load, thresholdPercent: 30 })).toEqual([]);
  });

  test('a slot that is heavier than a whole share stays where it is, and the others leave', () => {
    const before = evenSlotRanges(3).map((range, shard) => ({ shard, weight: 1, slots: [range] }));
    const load = Array.from({ length: SLOTS }, (_, slot) => (slot === 100 ? 1_000_000 : 1));
    const result = applied(before, planMoves(before, { load, thresholdPercent: 2 }));
    expect(formatRanges(result[0]?.slots ?? [])).toBe('100');
    expect(Math.abs(countSlots(result[1]?.slots ?? []) - countSlots(result[2]?.slots ?? []))).toBeLessThanOrEqual(1);
  });

  test('a drained slot that fits nowhere goes all the same; a second plan lets its receiver give, a third has nothing to do', () => {
    const before = [
      { shard: 0, weight: 0, slots: [[0, 0] as const] },
      { shard: 1, weight: 1, slots: [[1, 100] as const] },
      { shard: 2, weight: 1, slots: [[101, 200] as const] },
    ];
    const load = Array.from({ length: 201 }, (_, slot) => (slot === 0 ? 1000 : 1));
    const options = { load, thresholdPercent: 2 };
    const first = planMoves(before, options);
    expect(told(first)).toBe('0 -> 1: 0');
    const second = planMoves(applied(before, first), options);
    expect(told(second)).toBe('1 -> 2: 1-100');
    expect(planMoves(applied(applied(before, first), second), options)).toEqual([]);
  });

  test('slots without load leave a drained shard too, to where slots lack', () => {
    const before = evenSlotRanges(4).map((range, shard) => ({ shard, weight: shard === 3 ? 0 : 1, slots: [range] }));
    const load = Array.from({ length: SLOTS }, (_, slot) => (slot % 4096 === 7 ? 10 : 0));
    const counts = checkSound(before, planMoves(before, { load, thresholdPercent: 50 })).map(({ slots }) => countSlots(slots));
    expect(Math.max(...counts.slice(0, 3)) - Math.min(...counts.slice(0, 3))).toBeLessThanOrEqual(1);
  });

  test('where there is no load at all, the number of slots counts; what is no load counts 0', () => {
    const before = [...evenSlotRanges(3).map((range, shard) => ({ shard, weight: 1, slots: [range] })), { shard: 3, weight: 1, slots: [] }];
    const bySlots = told(planMoves(before, { thresholdPercent: 2 }));
    expect(told(planMoves(before, { load: [], thresholdPercent: 2 }))).toBe(bySlots);
    const noLoad = [Number.NaN, -5, Number.POSITIVE_INFINITY, 0];
    expect(told(planMoves(before, { load: noLoad, thresholdPercent: 2 }))).toBe(bySlots);
  });
});
