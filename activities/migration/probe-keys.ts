import calculateSlot from 'cluster-key-slot';
import { probeKey } from '../../config/names.ts';
import { SLOTS } from '../../model/slots.ts';

/** Nothing may be left of a probe for ever, whatever happens to whoever should remove it. */
export const EXPIRE_SECONDS = 86_400;

/** The write of the probe as commands take it. */
export const probeWrite = (slot: number, number: number): readonly (string | number)[] => [keyOfSlot(slot), number, 'EX', EXPIRE_SECONDS];

let tags: readonly string[] | undefined;

/** The key of the ledger in a slot. */
export function keyOfSlot(slot: number): string {
  tags ??= findTags();
  return probeKey(tags[slot] ?? '');
}

/** A short tag for every slot. */
function findTags(): readonly string[] {
  const found: string[] = [];
  for (let number = 0, missing = SLOTS; missing > 0; number++) {
    const tag = number.toString(36);
    const slot = calculateSlot(tag);
    if (found[slot] !== undefined) continue;
    found[slot] = tag;
    missing--;
  }
  return found;
}
