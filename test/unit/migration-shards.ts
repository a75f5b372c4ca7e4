import fc from 'fast-check';
import { expect } from 'vitest';
import type { BalanceOptions, ShardShare } from '../../model/migration/balance.ts';
import { formatRanges, type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import { countSlots, SLOTS } from '../../model/slots.ts';

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

export const seed = fc.integer();

/** Slots of a cluster in pieces of any length, each with any of the shards: many fragments or few, some shards empty. */
export const cluster = fc.integer({ min: 1, max: 60 }).chain((count) =>
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

export const build = ({
  weights,
  longest,
  owners,
  seed,
}: {
  weights: readonly number[];
  longest: number;
  owners: number;
  seed: number;
}) => {
  const next = random(seed);
  const slots = weights.map((): number[] => []);
  for (let slot = 0; slot < SLOTS; ) {
    const owner = Math.floor(next() * owners);
    for (let left = 1 + Math.floor(next() * longest); left > 0 && slot < SLOTS; left--) slots[owner]?.push(slot++);
  }
  const some = weights.some((weight) => weight > 0);
  return weights.map((weight, shard): ShardShare => ({ shard, weight: some ? weight : 1, slots: toRanges(slots[shard] ?? []) }));
};
export const shards = cluster.map(build);

const loadKinds: Readonly<Record<string, (next: () => number) => number>> = {
  even: () => 1,
  random: (next) => Math.floor(next() * 1000),
  fractions: (next) => next(),
  skewed: (next) => Math.floor(10 ** (next() * 12)),
  sparse: (next) => (next() < 0.005 ? Math.ceil(next() * 1000) : 0),
  none: () => 0,
};
export const makeLoad = (kind: string, seed: number) => {
  const next = random(seed);
  return Array.from({ length: SLOTS }, () => loadKinds[kind]?.(next) ?? 0);
};
export const loads = fc
  .record({ kind: fc.constantFrom(...Object.keys(loadKinds)), giant: fc.option(fc.nat(SLOTS - 1)), seed })
  .map(({ kind, giant, seed }) => {
    const load = makeLoad(kind, seed);
    if (giant !== null) load[giant] = 1 + 3 * load.reduce((a, b) => a + b, 0);
    return load;
  });
export const thresholds = fc.constantFrom(0, 0.5, 2, 10, 50, 100);

export const applied = (before: readonly ShardShare[], moves: readonly SlotMove[]): readonly ShardShare[] => {
  const slots = new Map(before.map((share) => [share.shard, new Set(slotsOf(share.slots))]));
  for (const move of moves) {
    for (const slot of slotsOf(move.slots)) {
      slots.get(move.from)?.delete(slot);
      slots.get(move.to)?.add(slot);
    }
  }
  return before.map((share) => ({ ...share, slots: toRanges(slots.get(share.shard) ?? []) }));
};

export const told = (moves: readonly SlotMove[]) =>
  moves.map(({ from, to, slots }) => `${from} -> ${to}: ${formatRanges(slots)}`).join('\n');
export const countMoved = (moves: readonly SlotMove[]) => moves.reduce((sum, { slots }) => sum + countSlots(slots), 0);

/** Load of each shard, and its target. */
export const standing = (all: readonly ShardShare[], load?: readonly number[]) => {
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
export const imbalance = (all: readonly ShardShare[], load?: readonly number[]) =>
  standing(all, load).reduce((sum, one) => sum + Math.abs(one.load - one.target), 0);

/** What holds for every plan. */
export const checkSound = (
  before: readonly ShardShare[],
  moves: readonly SlotMove[],
  { maxMoves = SLOTS }: Partial<BalanceOptions> = {},
) => {
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
