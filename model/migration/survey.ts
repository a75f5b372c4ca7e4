import { SLOTS } from '../slots.ts';
import { formatRanges, type SlotMove, slotsOf, toRanges } from './moves.ts';

/** What is in the slots of a cluster, counted at one moment. Small enough for a history: a few hundred KB at most. */
export interface SlotSurvey {
  /** Keys, by slot. */
  readonly keys: readonly number[];
  /** Memory by slot, in bytes, when it was asked for. */
  readonly bytes?: readonly number[];
  /** `server`: by its own statistics. `samples`: keys of each slot were measured. `average`: by the average key of the shard. */
  readonly bytesFrom: 'server' | 'samples' | 'average';
  /** Average memory of a key, by shard. 0 for a shard without keys. */
  readonly bytesPerKey: readonly number[];
  /** Memory used and allowed (0: no limit) by the primary of each shard, in bytes. */
  readonly memory: readonly { readonly used: number; readonly max: number }[];
  /** The command set with which every node can move slots by itself; missing when one of them cannot. */
  readonly native?: 'valkey' | 'redis';
}

/** Memory of each slot, as well as it is known. @param ownerOf the shard of a slot, -1 for none */
export function slotBytes(survey: SlotSurvey, ownerOf: (slot: number) => number): readonly number[] {
  if (survey.bytes !== undefined) return survey.bytes;
  return Array.from({ length: SLOTS }, (_, slot) => Math.round((survey.keys[slot] ?? 0) * (survey.bytesPerKey[ownerOf(slot)] ?? 0)));
}

/** What a look at the keys of some slots found. */
export interface BigKeyScan {
  /** Keys that were looked at, and how many there are. */
  readonly looked: number;
  readonly keys: number;
  /** The largest ones, largest first, and not all when there are many: above `limits.maxKeyBytes`, or so large that a container may have no room for them. */
  readonly big: readonly { readonly key: string; readonly slot: number; readonly shard: number; readonly bytes: number }[];
  /** Those above `limits.maxKeyBytes`. */
  readonly bigCount: number;
  /** Slots whose keys must be measured before they are sent: they hold large ones, or nobody had the time to look. As `0-99,200`. */
  readonly careful: string;
}

export const noScan: BigKeyScan = { looked: 0, keys: 0, big: [], bigCount: 0, careful: '' };

/** Nobody has looked at the keys of some moves. */
export const unscanned = (moves: readonly SlotMove[]): BigKeyScan => ({
  ...noScan,
  careful: formatRanges(toRanges(moves.flatMap(({ slots }) => slotsOf(slots)))),
});
