/** Slots of a cluster; a key's slot is CRC16 of its hash tag, modulo this. */
export const SLOTS = 16384;

export type SlotRange = readonly [from: number, to: number];

/** Even, contiguous shares of all slots for `shards` primaries; shares differ by one slot at most. */
export function evenSlotRanges(shards: number): readonly SlotRange[] {
  return Array.from({ length: shards }, (_, i) => [Math.floor((i * SLOTS) / shards), Math.floor(((i + 1) * SLOTS) / shards) - 1] as const);
}

export const hasSlot = (ranges: readonly SlotRange[], slot: number): boolean => ranges.some(([from, to]) => slot >= from && slot <= to);

export const countSlots = (ranges: readonly SlotRange[]): number => ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);

/** As the server writes it: `0-5460`, or `7` for a single slot. */
export const formatRange = ([from, to]: SlotRange): string => (from === to ? `${from}` : `${from}-${to}`);

/** The reverse of `formatRange`. */
export function parseRange(text: string): SlotRange {
  const [from = '', to = from] = text.split('-');
  return [Number(from), Number(to)];
}
