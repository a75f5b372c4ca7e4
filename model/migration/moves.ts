import { formatRange, parseRange, type SlotRange } from '../slots.ts';

/** Slots that change their shard. Shards go by number: which of their nodes is the primary is a fact to observe. */
export interface SlotMove {
  readonly from: number;
  readonly to: number;
  /** Ascending, not touching. */
  readonly slots: readonly SlotRange[];
}

/** Ranges of some slots, given in any order. */
export function toRanges(slots: Iterable<number>): readonly SlotRange[] {
  const ranges: [number, number][] = [];
  for (const slot of [...new Set(slots)].sort((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === slot - 1) last[1] = slot;
    else ranges.push([slot, slot]);
  }
  return ranges;
}

/** The slots of some ranges, one by one. */
export const slotsOf = (ranges: readonly SlotRange[]): readonly number[] =>
  ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i));

/** `0-99,200` */
export const formatRanges = (ranges: readonly SlotRange[]): string => ranges.map(formatRange).join(',');

/** The reverse of `formatRanges`. */
export const parseRanges = (text: string): readonly SlotRange[] => (text === '' ? [] : text.split(',').map(parseRange));
