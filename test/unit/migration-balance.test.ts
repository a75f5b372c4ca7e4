import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planMoves, type ShardShare } from '../../model/migration/balance.ts';
import { formatRanges } from '../../model/migration/moves.ts';
import { countSlots, evenSlotRanges, SLOTS } from '../../model/slots.ts';
import { applied, build, checkSound, cluster, countMoved, loads, shards, standing, thresholds, told } from './migration-shards.ts';

/** Fewest slots that any rounding of the shares asks for; tries them all. */
const fewest = (before: readonly ShardShare[]): number => {
  const all = standing(before).map((one) => {
    const near = Math.round(one.target);
    return { ...one, target: Math.abs(one.target - near) < 1e-6 ? near : one.target };
  });
  const total = all.reduce((sum, { slots }) => sum + slots, 0);
  const from = (index: number, left: number): number => {
    const one = all[index];
    if (one === undefined) return left === 0 ? 0 : Number.POSITIVE_INFINITY;
    const choices = [...new Set([Math.floor(one.target), Math.ceil(one.target)])];
    return Math.min(...choices.map((goal) => Math.max(0, one.slots - goal) + from(index + 1, left - goal)));
  };
  return from(0, total);
};

test('a cluster in which every weight is 0 is refused', () => {
  expect(() => planMoves([{ shard: 0, weight: 0, slots: [[0, SLOTS - 1]] }], { thresholdPercent: 2 })).toThrow(RangeError);
});

test('the same input gives the same moves', () => {
  fc.assert(
    fc.property(shards, fc.option(loads), thresholds, (before, load, thresholdPercent) => {
      const options = { thresholdPercent, ...(load === null ? {} : { load }) };
      expect(told(planMoves(structuredClone(before), options))).toBe(told(planMoves(before, options)));
    }),
    { numRuns: 30 },
  );
});

describe('by the number of slots', () => {
  test('every shard gets its exact share, rounded, by as few pairs as there are shards', () => {
    fc.assert(
      fc.property(shards, (before) => {
        const moves = planMoves(before, { thresholdPercent: 0 });
        const result = checkSound(before, moves);
        for (const { slots, target } of standing(result)) expect(Math.abs(slots - target)).toBeLessThan(1 + 1e-6);
        if (new Set(before.map(({ weight }) => weight)).size === 1) {
          const counts = result.map(({ slots }) => countSlots(slots));
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
        }
        expect(moves.length).toBeLessThan(Math.max(1, before.length));
        expect(planMoves(result, { thresholdPercent: 0 })).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('no rounding of the shares would do with fewer slots', () => {
    const few = cluster.filter(({ weights }) => weights.length <= 9).map(build);
    fc.assert(
      fc.property(few, (before) => {
        expect(countMoved(planMoves(before, { thresholdPercent: 0 }))).toBe(fewest(before));
      }),
      { numRuns: 60 },
    );
  });

  test('within the threshold nothing moves; beyond it, or with a shard to drain, everything goes to its share', () => {
    fc.assert(
      fc.property(shards, thresholds, (before, thresholdPercent) => {
        const moves = planMoves(before, { thresholdPercent });
        const calm = standing(before).every(({ slots, target, drains }) => {
          if (drains) return slots === 0;
          const off = Math.abs(slots - target);
          return off < 1 || (slots > 0 && off <= (target * thresholdPercent) / 100);
        });
        if (calm) expect(moves).toEqual([]);
        else expect(told(moves)).toBe(told(planMoves(before, { thresholdPercent: 0 })));
        checkSound(before, moves);
      }),
      { numRuns: 40 },
    );
  });

  test('less than a slot off is within any threshold', () => {
    const before = [
      { shard: 0, weight: 8190.75, slots: [[0, 8239] as const] },
      { shard: 1, weight: 8190.75, slots: [[8240, 16_381] as const] },
      { shard: 2, weight: 2.5, slots: [[16_382, 16_383] as const] },
    ];
    expect(planMoves(before, { thresholdPercent: 2 })).toEqual([]);
    expect(countMoved(planMoves(before, { thresholdPercent: 0.1 }))).toBe(49);
  });

  test('a new shard that has nothing is beyond any threshold', () => {
    const before = [...evenSlotRanges(3).map((range, shard) => ({ shard, weight: 1, slots: [range] })), { shard: 3, weight: 1, slots: [] }];
    const result = applied(before, planMoves(before, { thresholdPercent: 100 }));
    expect(result.map(({ slots }) => countSlots(slots))).toEqual([4096, 4096, 4096, 4096]);
  });

  test('of a plan that is cut short, drained shards go first, then the fullest; what is moved is not moved for nothing', () => {
    fc.assert(
      fc.property(shards, fc.integer({ min: 1, max: 4000 }), (before, maxMoves) => {
        const full = planMoves(before, { thresholdPercent: 0 });
        const moves = planMoves(before, { thresholdPercent: 0, maxMoves });
        const result = checkSound(before, moves, { maxMoves });
        expect(countMoved(moves)).toBe(Math.min(maxMoves, countMoved(full)));
        const drained = (all: readonly ShardShare[]) => standing(all).reduce((sum, { drains, slots }) => sum + (drains ? slots : 0), 0);
        expect(drained(result)).toBe(Math.max(0, drained(before) - maxMoves));
        expect(countMoved(planMoves(result, { thresholdPercent: 0 }))).toBe(countMoved(full) - countMoved(moves));
      }),
      { numRuns: 40 },
    );
  });

  test('a plan that is cut short lowers the highest first', () => {
    const before = [
      { shard: 0, weight: 1, slots: [[0, 7999] as const] },
      { shard: 1, weight: 1, slots: [[8000, SLOTS - 1] as const] },
      { shard: 2, weight: 1, slots: [] },
    ];
    const result = applied(before, planMoves(before, { thresholdPercent: 0, maxMoves: 484 }));
    expect(result.map(({ slots }) => countSlots(slots))).toEqual([7950, 7950, 484]);
  });

  test('growing takes the end of each range, and shrinking back gives each its own again, but for a slot of rounding', () => {
    const three = [...evenSlotRanges(3).map((range, shard) => ({ shard, weight: 1, slots: [range] })), { shard: 3, weight: 1, slots: [] }];
    const grown = applied(three, planMoves(three, { thresholdPercent: 2 }));
    expect(grown.map(({ slots }) => formatRanges(slots))).toEqual([
      '0-4095',
      '5461-9556',
      '10922-15017',
      '4096-5460,9557-10921,15018-16383',
    ]);
    const shrinking = grown.map((share) => ({ ...share, weight: share.shard === 3 ? 0 : 1 }));
    const back = applied(shrinking, planMoves(shrinking, { thresholdPercent: 2 }));
    expect(back.map(({ slots }) => formatRanges(slots))).toEqual(['0-5460,16383', '5461-10921', '10922-16382', '']);
  });
});
