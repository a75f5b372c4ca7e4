import type { SlotState, SlotsSeen } from './clock-keeper.ts';

/** What was seen of a shard's slots, and is not written down yet. */
export interface UnwrittenSlots extends SlotsSeen {
  /** The first look of this attempt, when it is not written down either: whether it saw what the one before it knew is asked when it is. */
  readonly first?: SlotState;
}

/** What was not written down before happened in between. */
export function afterLook(unwritten: UnwrittenSlots | undefined, seen: SlotsSeen): UnwrittenSlots {
  if (unwritten === undefined) return seen;
  const first = unwritten.first ?? (unwritten.sinceMs === undefined ? unwritten : undefined);
  const sinceMs = unwritten.sinceMs ?? seen.sinceMs;
  return { ...seen, ...(sinceMs === undefined ? {} : { sinceMs }), ...(first === undefined ? {} : { first }) };
}

/**
 * Until when the slots are known to have been as they were written down last; undefined when they still are.
 * @param knownMs until when somebody has looked at them, ms since 1970
 */
export function changedSince(unwritten: UnwrittenSlots, known: SlotState, knownMs: number): number | undefined {
  const isKnown = ({ slots, open }: SlotState) => slots === known.slots && open === known.open;
  const { first, sinceMs } = unwritten;
  if (first !== undefined && !isKnown(first)) return knownMs;
  if (sinceMs !== undefined) return sinceMs;
  return isKnown(unwritten) ? undefined : knownMs;
}

/** What is left to write down when an earlier look was: it happened after that. */
export function afterWriting(unwritten: UnwrittenSlots | undefined, written: UnwrittenSlots): UnwrittenSlots | undefined {
  if (unwritten === undefined || unwritten === written) return undefined;
  const { first: _, ...seen } = unwritten;
  return { ...seen, sinceMs: written.ms };
}
