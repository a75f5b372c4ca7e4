import type { ExplicitMove, MoveStrategy, PlannedMove } from '../../config/migration.ts';
import { countSlots, SLOTS, type SlotRange } from '../slots.ts';
import { mib } from '../words.ts';
import { formatRanges, parseRanges, type SlotMove, slotsOf } from './moves.ts';
import { type BigKeyScan, type SlotSurvey, slotBytes } from './survey.ts';

/** The shard of every slot, -1 for none. */
export function ownersOf(
  shards: readonly { readonly shard: number; readonly slots: readonly (readonly [number, number])[] }[],
): readonly number[] {
  const owners = new Array<number>(SLOTS).fill(-1);
  for (const { shard, slots } of shards) for (const slot of slotsOf(slots)) owners[slot] = shard;
  return owners;
}

/** Rough, for a person who wants to know whether it takes seconds or hours: keys and bytes a second that one source moves. */
const RATE = { keys: 40_000, bytes: 60 * 1024 ** 2, startMs: 300 };

/** The moves as a person reads them. */
export function plannedMoves(moves: readonly SlotMove[], survey: SlotSurvey, owners: readonly number[]): readonly PlannedMove[] {
  const bytesOf = slotBytes(survey, (slot) => owners[slot] ?? -1);
  return moves.map(({ from, to, slots }) => {
    const all = slotsOf(slots);
    const keys = all.reduce((sum, slot) => sum + (survey.keys[slot] ?? 0), 0);
    const bytes = all.reduce((sum, slot) => sum + (bytesOf[slot] ?? 0), 0);
    const estimatedMs = Math.round(RATE.startMs + 1000 * Math.max(keys / RATE.keys, bytes / RATE.bytes));
    return { from, to, ranges: formatRanges(slots), slots: all.length, keys, bytes, estimatedMs };
  });
}

/** In words that name every slot, since what was approved is what is moved. */
export function describeMoves(moves: readonly SlotMove[]): string {
  const all = moves.map(({ from, to, slots }) => `${countSlots(slots)} from shard ${from} to ${to} (${formatRanges(slots)})`);
  return all.join('; ');
}

/** Moves that a person wrote, whose ranges may come in any order and overlap: one for each pair of shards. */
export const fromExplicit = (moves: readonly ExplicitMove[]): readonly SlotMove[] =>
  [...Map.groupBy(moves, ({ from, to }) => `${from} ${to}`).values()].flatMap((all) =>
    all.slice(0, 1).map(({ from, to }) => ({ from, to, slots: merged(all.flatMap(({ slots }) => parseRanges(slots))) })),
  );

/** Ranges in order; those that overlap or touch as one. Not slot by slot: a person's list may name all of them many times over. */
function merged(ranges: readonly SlotRange[]): readonly SlotRange[] {
  const all: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = all.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else all.push([from, to]);
  }
  return all;
}

/** Two entries that name the same slot, of one pair of shards or of two: one of them is a mistake, and nobody can tell which. */
export function refuseTwice(moves: readonly ExplicitMove[]): readonly string[] {
  const ranges = moves.flatMap(({ slots }) => merged(parseRanges(slots))).sort((a, b) => a[0] - b[0]);
  const twice = ranges.find(([from], i) => i > 0 && from <= (ranges[i - 1]?.[1] ?? -1));
  return twice === undefined ? [] : [`slot ${twice[0]} is moved twice`];
}

/** Why moves that a person wrote cannot be carried out. */
export function refuseMoves(moves: readonly SlotMove[], owners: readonly number[], shards: number): readonly string[] {
  const refusals: string[] = [];
  const [givers, takers] = [new Set(moves.map(({ from }) => from)), new Set(moves.map(({ to }) => to))];
  for (const { from, to, slots } of moves) {
    if (from >= shards || to >= shards)
      refusals.push(`there is no shard ${Math.max(from, to)}: this cluster has shards 0 to ${shards - 1}`);
    if (from === to) refusals.push(`shard ${from} cannot give slots to itself`);
    const wrong = slotsOf(slots).filter((slot) => owners[slot] !== from);
    const [first] = wrong;
    if (first !== undefined)
      refusals.push(
        `slot ${first} does not belong to shard ${from} but to shard ${owners[first]}${wrong.length > 1 ? ` (and ${wrong.length - 1} more)` : ''}: plan again`,
      );
  }
  const both = [...givers].find((shard) => takers.has(shard));
  if (both !== undefined)
    refusals.push(`shard ${both} cannot give and take in one operation: two servers that send to each other wait for one another`);
  return refusals;
}

export interface MoveChoice {
  readonly strategy: 'native' | 'pipelined';
  /** Only what nobody forced may be given up. */
  readonly mayFallBack: boolean;
  readonly refusals: readonly string[];
}

/** Which way slots are moved, by what every node can. */
export function chooseStrategy(wanted: MoveStrategy, survey: SlotSurvey): MoveChoice {
  if (wanted === 'native' && survey.native === undefined) {
    return {
      strategy: 'native',
      mayFallBack: false,
      refusals: ['not every node can move slots by itself (Valkey from 9.0, Redis from 8.4): use --strategy pipelined, or auto'],
    };
  }
  const native = wanted !== 'pipelined' && survey.native !== undefined;
  return { strategy: native ? 'native' : 'pipelined', mayFallBack: wanted === 'auto', refusals: [] };
}

const namedBigKeys = ({ big, bigCount }: BigKeyScan, maxKeyBytes: number) => ({
  which: `${bigCount === 1 ? 'a key' : `${bigCount} keys`} above limits.maxKeyBytes (${mib(maxKeyBytes)})`,
  names: big
    .filter(({ bytes }) => bytes > maxKeyBytes)
    .slice(0, 5)
    .map(({ key, slot, bytes }) => `${key} (slot ${slot}, ${mib(bytes)})`)
    .join(', '),
});

/** Keys are written and removed while they are looked at: so many may be missing in the end, and all have been looked at. */
const LOOKED_AT = 0.99;

/** What a person should know of large keys, where nothing is refused for them. */
export function describeScan(scan: BigKeyScan, bigKeys: 'stop' | 'move', maxKeyBytes: number): readonly string[] {
  const { which, names } = namedBigKeys(scan, maxKeyBytes);
  return [
    ...(bigKeys === 'move' && scan.bigCount > 0 ? [`${which} may stall their shards while they move: ${names}`] : []),
    ...(scan.looked < scan.keys * LOOKED_AT
      ? [
          `there was time to look for large keys among ${scan.looked} of ${scan.keys} keys; the others are measured while they move, and large ones are not stopped for`,
        ]
      : []),
  ];
}

/** Large keys stall their shard while they move: a person decides. */
export function refuseBigKeys(scan: BigKeyScan, bigKeys: 'stop' | 'move', maxKeyBytes: number): readonly string[] {
  if (bigKeys === 'move' || scan.bigCount === 0) return [];
  const { which, names } = namedBigKeys(scan, maxKeyBytes);
  return [
    `${which} would stall a shard while it moves: ${names}. Move it in a quiet hour with --big-keys move, raise --max-key-bytes, or part the key`,
  ];
}

/** Bytes that each destination gets. */
export function gainsOf(rows: readonly PlannedMove[]): ReadonlyMap<number, number> {
  const gains = new Map<number, number>();
  for (const { to, bytes } of rows) gains.set(to, (gains.get(to) ?? 0) + bytes);
  return gains;
}

/** What each destination would hold afterwards must fit, with room for buffers and what is written meanwhile. */
export function refuseFull(rows: readonly PlannedMove[], survey: SlotSurvey, newMax?: number): readonly string[] {
  return [...gainsOf(rows)].flatMap(([shard, bytes]) => {
    const { used, max: now } = survey.memory[shard] ?? { used: 0, max: 0 };
    const max = newMax ?? now;
    const after = used + bytes;
    return max > 0 && after > max * FULL
      ? [
          `shard ${shard} would hold ${mib(after)} of ${mib(max)}, more than ${FULL * 100} %: give nodes more memory first (holdfast scale --memory), or keep more shards`,
        ]
      : [];
  });
}

const FULL = 0.9;
