import type { SlotRange } from '../slots.ts';

/** A shard as the planner sees it. */
export interface ShardShare {
  readonly shard: number;
  /** Relative share; 0 drains it. */
  readonly weight: number;
  readonly slots: readonly SlotRange[];
}

export interface BalanceOptions {
  /** Load of each slot, by slot, in any unit; each counts 1 when left out, or when there is no load at all. */
  readonly load?: ArrayLike<number>;
  /** A shard within so many percent of its share is left alone. */
  readonly thresholdPercent: number;
  /** Slots to move at most; shards that are drained go first. */
  readonly maxMoves?: number;
}

/** A slot that changes its shard. */
export interface Transfer {
  readonly slot: number;
  readonly from: number;
  readonly to: number;
}

export function sum<T>(all: Iterable<T>, value: (one: T) => number): number {
  let total = 0;
  for (const one of all) total += value(one);
  return total;
}

/** The first with the highest value above `floor`. */
export function most<T>(all: Iterable<T>, value: (one: T) => number, floor = 0): T | undefined {
  let found: T | undefined;
  let highest = floor;
  for (const one of all) {
    const its = value(one);
    if (its > highest) [found, highest] = [one, its];
  }
  return found;
}
