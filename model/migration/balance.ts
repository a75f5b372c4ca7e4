import { planByLoad, type WeighedSlot } from './balance-load.ts';
import { planBySlots } from './balance-slots.ts';
import { type SlotMove, slotsOf, toRanges } from './moves.ts';
import { type BalanceOptions, type ShardShare, sum } from './shares.ts';

export type { BalanceOptions, ShardShare } from './shares.ts';

/**
 * The fewest slots moved that bring every shard to its weighted share. A shard gives or takes, never both (that deadlocks MIGRATE).
 * By slots, shares are exact once any shard is beyond the threshold. By load, those beyond it are brought to their share by slots that fit.
 * Planning again on the result gives nothing, but for one case: a drained slot heavier than what any shard lacks leaves its receiver over
 * its share, and only a second plan can let that one give.
 * @returns one entry for a pair of shards, in the order of their numbers.
 * @throws RangeError when no shard has a weight above 0.
 */
export function planMoves(shards: readonly ShardShare[], options: BalanceOptions): readonly SlotMove[] {
  if (!shards.some(({ weight }) => weight > 0))
    throw new RangeError('No shard has a weight above 0, so nobody would own the slots. Give at least one shard a weight.');
  const loads = options.load === undefined ? undefined : weigh(shards, options.load);
  const transfers = loads === undefined ? planBySlots(shards, options) : planByLoad(shards, loads, options);
  const pairs = new Map<string, { readonly from: number; readonly to: number; readonly slots: number[] }>();
  for (const { slot, from, to } of transfers) {
    const key = `${from} ${to}`;
    const pair = pairs.get(key) ?? { from, to, slots: [] };
    pair.slots.push(slot);
    pairs.set(key, pair);
  }
  return [...pairs.values()]
    .sort((a, b) => a.from - b.from || a.to - b.to)
    .map(({ from, to, slots }) => ({ from, to, slots: toRanges(slots) }));
}

/**
 * The slots of each shard with their loads as whole numbers, scaled by a power of two: their sums are exact in any order, so that planning
 * again meets the very same figures. What is not a finite number above 0 counts 0. Undefined when there is no load at all.
 */
function weigh(shards: readonly ShardShare[], load: ArrayLike<number>): readonly (readonly WeighedSlot[])[] | undefined {
  const loadOf = (slot: number) => {
    const its = load[slot] ?? 0;
    return its > 0 && its < Number.POSITIVE_INFINITY ? its : 0;
  };
  const slots = shards.map((shard) => slotsOf(shard.slots));
  const total = sum(slots.flat(), loadOf);
  if (total === 0) return undefined;
  const scale = 2 ** Math.min(1000, Math.floor(51 - Math.log2(total)));
  return slots.map((its) => its.map((slot) => ({ slot, load: Math.round(loadOf(slot) * scale) })));
}
