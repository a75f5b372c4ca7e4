import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BalanceOptions, planMoves, type ShardShare } from '../../model/migration/balance.ts';
import { formatRanges, type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import { countSlots, evenSlotRanges, SLOTS } from '../../model/slots.ts';

/** Small and fast; the seed comes from fast-check, so that a failure can be run again. */
function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const seed = fc.integer();

/** Slots of a cluster in pieces of any length, each with any of the shards: many fragments or few, some shards empty. */
const cluster = fc.integer({ min: 1, max: 60 }).chain((count) =>
  fc.record({
    weights: fc.oneof(
      fc.constant(Array.from({ length: count }, () => 1)),
      fc.array(fc.oneof(fc.constantFrom(0, 0.1, 0.3, 1, 1, 2, 7, 1000), fc.double({ min: 0, max: 1000, noNaN: true })), {
        minLength: count,
        maxLength: count,
      }),
    ),
    longest: fc.constantFrom(1, 7, 300, 6000),
    owners: fc.integer({ min: 1, max: count }),
    seed,
  }),
);

const build = ({ weights, longest, owners, seed }: { weights: readonly number[]; longest: number; owners: number; seed: number }) => {
  const next = random(seed);
  const slots = weights.map((): number[] => []);
  for (let slot = 0; slot < SLOTS; ) {
    const owner = Math.floor(next() * owners);
    for (let left = 1 + Math.floor(next() * longest); left > 0 && slot < SLOTS; left--) slots[owner]?.push(slot++);
  }
  const some = weights.some((weight) => weight > 0);
  return weights.map((weight, shard): ShardShare => ({ shard, weight: some ? weight : 1, slots: toRanges(slots[shard] ?? []) }));
};
const shards = cluster.map(build);

const loadKinds: Readonly<Record<string, (next: () => number) => number>> = {
  even: () => 1,
  random: (next) => Math.floor(next() * 1000),
  fractions: (next) => next(),
  skewed: (next) => Math.floor(10 ** (next() * 12)),
  sparse: (next) => (next() < 0.005 ? Math.ceil(next() * 1000) : 0),
  none: () => 0,
};
const makeLoad = (kind: string, seed: number) => {
  const next = random(seed);
  return Array.from({ length: SLOTS }, () => loadKinds[kind]?.(next) ?? 0);
};
const loads = fc
  .record({ kind: fc.constantFrom(...Object.keys(loadKinds)), giant: fc.option(fc.nat(SLOTS - 1)), seed })
  .map(({ kind, giant, seed }) => {
    const load = makeLoad(kind, seed);
    if (giant !== null) load[giant] = 1 + 3 * load.reduce((a, b) => a + b, 0);
    return load;
  });
const thresholds = fc.constantFrom(0, 0.5, 2, 10, 50, 100);

const applied = (before: readonly ShardShare[], moves: readonly SlotMove[]): readonly ShardShare[] => {
  const slots = new Map(before.map((share) => [share.shard, new Set(slotsOf(share.slots))]));
  for (const move of moves) {
    for (const slot of slotsOf(move.slots)) {
      slots.get(move.from)?.delete(slot);
      slots.get(move.to)?.add(slot);
    }
  }
  return before.map((share) => ({ ...share, slots: toRanges(slots.get(share.shard) ?? []) }));
};

const told = (moves: readonly SlotMove[]) => moves.map(({ from, to, slots }) => `${from} -> ${to}: ${formatRanges(slots)}`).join('\n');
const countMoved = (moves: readonly SlotMove[]) => moves.reduce((sum, { slots }) => sum + countSlots(slots), 0);

/** Load of each shard, and its target. */
const standing = (all: readonly ShardShare[], load?: readonly number[]) => {
  const loadOf = all.map(({ slots }) => slotsOf(slots).reduce((sum, slot) => sum + (load === undefined ? 1 : (load[slot] ?? 0)), 0));
  const total = loadOf.reduce((a, b) => a + b, 0);
  const weights = all.reduce((sum, { weight }) => sum + weight, 0);
  return all.map(({ weight, slots }, i) => ({
    load: loadOf[i] ?? 0,
    target: (total * weight) / weights,
    drains: weight === 0,
    slots: countSlots(slots),
  }));
};
const imbalance = (all: readonly ShardShare[], load?: readonly number[]) =>
  standing(all, load).reduce((sum, one) => sum + Math.abs(one.load - one.target), 0);

/** What holds for every plan. */
const checkSound = (before: readonly ShardShare[], moves: readonly SlotMove[], { maxMoves = SLOTS }: Partial<BalanceOptions> = {}) => {
  const owner = new Map(before.flatMap(({ shard, slots }) => slotsOf(slots).map((slot) => [slot, shard] as const)));
  const moved = new Set<number>();
  for (const { from, slots } of moves) {
    expect(slots.length).toBeGreaterThan(0);
    expect(formatRanges(toRanges(slotsOf(slots)))).toBe(formatRanges(slots));
    for (const slot of slotsOf(slots)) {
      if (owner.get(slot) !== from || moved.has(slot)) throw new Error(`slot ${slot} is not ${from}'s to give`);
      moved.add(slot);
    }
  }
  expect(moved.size).toBeLessThanOrEqual(maxMoves);
  const [sources, destinations] = [new Set(moves.map(({ from }) => from)), new Set(moves.map(({ to }) => to))];
  expect([...sources].filter((shard) => destinations.has(shard))).toEqual([]);
  expect(new Set(moves.map(({ from, to }) => `${from} ${to}`)).size).toBe(moves.length);
  const result = applied(before, moves);
  const owners = new Uint8Array(SLOTS);
  for (const { slots } of result) for (const slot of slotsOf(slots)) owners[slot] = (owners[slot] ?? 0) + 1;
  expect(owners.every((count) => count === 1)).toBe(true);
  for (const { shard, weight, slots } of result) {
    if (weight > 0) continue;
    expect(destinations.has(shard)).toBe(false);
    if (maxMoves >= SLOTS) expect(slots).toEqual([]);
  }
  return result;
};

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
