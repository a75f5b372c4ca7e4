import { type RdbCursor, UnknownRdb } from './cursor.ts';

/** Steps over something; yields whenever more of it has to be here. */
export type Stepping = Generator<void, void, void>;
type Step = (cursor: RdbCursor) => Stepping;

export function* length(cursor: RdbCursor): Generator<void, number, void> {
  while (!cursor.stepLength()) yield;
  return cursor.length;
}

export function* string(cursor: RdbCursor): Stepping {
  while (!cursor.stepString()) yield;
}

function* bytes(cursor: RdbCursor, count: number): Stepping {
  cursor.at += count;
  while (cursor.at > cursor.end) yield;
}

/** A number, and for each so many strings. */
const strings = (each: number): Step =>
  function* (cursor) {
    for (let left = (yield* length(cursor)) * each; left > 0; ) {
      if (cursor.stepString()) left--;
      else yield;
    }
  };

/** A number, and so many elements of several fields. */
const elements = (...fields: readonly Step[]): Step =>
  function* (cursor) {
    for (let left = yield* length(cursor); left > 0; left--) for (const field of fields) yield* field(cursor);
  };

const fixed =
  (count: number): Step =>
  (cursor) =>
    bytes(cursor, count);

const lengths = (count: number): Step =>
  function* (cursor) {
    for (let i = 0; i < count; i++) yield* length(cursor);
  };

/** A score as text: its length, or a mark for a number that has no digits. */
function* textScore(cursor: RdbCursor): Stepping {
  while (cursor.at >= cursor.end) yield;
  const size = cursor.held[cursor.at] as number;
  yield* bytes(cursor, 1 + (size < 253 ? size : 0));
}

const after = (...steps: readonly Step[]): Step =>
  function* (cursor) {
    for (const step of steps) yield* step(cursor);
  };

/** By its kind, from 1. */
const MODULE_STEPS: readonly Step[] = [lengths(1), lengths(1), fixed(4), fixed(8), string];

/** Fields of a module's own, each with its kind before it, up to a zero. */
function* moduleFields(cursor: RdbCursor): Stepping {
  for (let kind = yield* length(cursor); kind !== 0; kind = yield* length(cursor)) {
    const step = MODULE_STEPS[kind - 1];
    if (step === undefined) throw new UnknownRdb(`a field of a module of kind ${kind}`);
    yield* step(cursor);
  }
}

/** What a module keeps beside keys: whose it is, two numbers for where it stands, and its fields. */
export function* moduleAux(cursor: RdbCursor): Stepping {
  yield* lengths(3)(cursor);
  yield* moduleFields(cursor);
}

const ID_BYTES = 16;
const TIME_BYTES = 8;

/** Pieces, the last id and where they end; then the groups of consumers, with what each was given and has not answered. */
function stream({ counts, entriesRead, times }: { readonly counts: number; readonly entriesRead: boolean; readonly times: number }): Step {
  const pending = elements(fixed(ID_BYTES + TIME_BYTES), lengths(1));
  const consumers = elements(string, fixed(times * TIME_BYTES), elements(fixed(ID_BYTES)));
  return after(strings(2), lengths(counts), elements(string, lengths(entriesRead ? 3 : 2), pending, consumers));
}

/** How each type of value is written, by its number; a plain string is all that most are. */
const COMMON: readonly (readonly [number, Step | 'string'])[] = [
  [0, 'string'],
  [1, strings(1)],
  [2, strings(1)],
  [3, elements(string, textScore)],
  [4, strings(2)],
  [5, elements(string, fixed(8))],
  [7, after(lengths(1), moduleFields)],
  [9, 'string'],
  [10, 'string'],
  [11, 'string'],
  [12, 'string'],
  [13, 'string'],
  [14, strings(1)],
  [15, stream({ counts: 3, entriesRead: false, times: 1 })],
  [16, 'string'],
  [17, 'string'],
  [18, elements(lengths(1), string)],
  [19, stream({ counts: 8, entriesRead: true, times: 1 })],
  [20, 'string'],
  [21, stream({ counts: 8, entriesRead: true, times: 2 })],
];

/** Hashes whose fields have times to live: Valkey and Redis write them each in their own way, and Valkey has a number that Redis has for something else. */
const VALKEY: readonly (readonly [number, Step | 'string'])[] = [[22, elements(string, string, fixed(TIME_BYTES))]];
const REDIS: readonly (readonly [number, Step | 'string'])[] = [
  [24, after(fixed(TIME_BYTES), elements(lengths(1), string, string))],
  [25, after(fixed(TIME_BYTES), string)],
];

/** Steps over a value, by its type. */
export const valuesOf = (magic: string): ReadonlyMap<number, Step | 'string'> =>
  new Map([...COMMON, ...(magic.startsWith('VALKEY') ? VALKEY : REDIS)]);
