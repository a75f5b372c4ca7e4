import { slotOfKey } from '../redis/key-slot.ts';
import { INT8, INT16, INT32, LZF, RdbCursor, UnknownRdb } from './cursor.ts';
import { unpackLzf } from './lzf.ts';
import { AUX, EOF, EXPIRES_MS, EXPIRES_S, FREQ, FUNCTION, IDLE, MODULE_AUX, RESIZE_DB, SELECT_DB, SLOT_INFO } from './opcodes.ts';
import { length, moduleAux, type Stepping, string, valuesOf } from './values.ts';

/** What is done with the parts of an RDB. */
export interface Taker {
  /** Who gets the key of a slot; undefined when nobody does. */
  ownerOf(slot: number): number | undefined;
  /** Once, before the first key. `functions` are the function libraries as they stand in the file; none of the bytes may be kept. */
  begin(magic: string, functions: Buffer): void;
  /** Keys with all that belongs to them, as they stand in the file, one after another; no more than the largest key may have. None of the bytes may be kept. */
  take(owner: number, bytes: Buffer, keys: number): void;
  /** A key that is too large to be held: where it stands in the whole. */
  takeLarge(owner: number, from: number, to: number): void;
  /** Is waited for between two chunks. */
  rest(): Promise<void> | undefined;
}

export interface TakeApartOptions {
  /** A larger key goes by, and is only named. */
  readonly largestBytes: number;
}

const MAGIC_BYTES = 9;
const NAME_BYTES = 1024 ** 2;
const NONE = -1;

/**
 * Takes an RDB of a cluster's node apart while it goes by: each key, with its value and its time to live as they are written, goes to who owns its slot. Values are stepped over, and not looked into. The format is that of the servers'
 * rdb.c.
 * @returns how many keys there were
 * @throws UnknownRdb when it holds what this version does not know, and what the source throws
 */
export async function takeApart(source: AsyncIterable<Uint8Array>, taker: Taker, options: TakeApartOptions): Promise<number> {
  const apart = new Apart(taker, options);
  for await (const chunk of source) {
    apart.add(chunk);
    await taker.rest();
  }
  return apart.end();
}

class Apart {
  readonly #cursor = new RdbCursor();
  readonly #taker: Taker;
  readonly #largest: number;
  readonly #steps: Generator<void, void, void>;
  /** Where the key begins that is read now; in the whole. */
  #from = 0;
  /** Who gets it, once its name was read. */
  #owner = NONE;
  /** Keys of one owner, one after another, that were read and not handed out. */
  readonly #run = { owner: NONE, from: 0, to: 0, keys: 0 };
  #keys = 0;
  #done = false;

  constructor(taker: Taker, { largestBytes }: TakeApartOptions) {
    this.#taker = taker;
    this.#largest = largestBytes;
    this.#steps = this.#read();
  }

  add(chunk: Uint8Array): void {
    const cursor = this.#cursor;
    this.#handOut();
    const passes = this.#owner !== NONE && cursor.at + cursor.base - this.#from > this.#largest;
    cursor.add(chunk, passes ? cursor.at : Math.max(0, this.#from - cursor.base));
    this.#advance();
  }

  end(): number {
    if (!this.#done) throw new UnknownRdb('it ends too early');
    return this.#keys;
  }

  #advance(): void {
    if (!this.#done) this.#done = this.#steps.next().done === true;
  }

  *#read(): Stepping {
    const cursor = this.#cursor;
    while (cursor.end < MAGIC_BYTES) yield;
    const magic = cursor.held.toString('latin1', 0, MAGIC_BYTES);
    if (!/^(REDIS\d{4}|VALKEY\d{3})$/.test(magic)) throw new UnknownRdb('it does not begin as one');
    cursor.at = MAGIC_BYTES;
    const values = valuesOf(magic);
    const functions: Buffer[] = [];
    let begun = false;
    for (;;) {
      this.#from = cursor.base + cursor.at;
      let type = 0;
      // What is said of a key before its type belongs to it.
      for (let said = true; said; ) {
        while (cursor.at >= cursor.end) yield;
        type = cursor.held[cursor.at] as number;
        cursor.at++;
        if (type === EXPIRES_MS) cursor.at += 8;
        else if (type === EXPIRES_S) cursor.at += 4;
        else if (type === FREQ) cursor.at += 1;
        else if (type === IDLE) yield* length(cursor);
        else said = false;
      }
      const value = values.get(type);
      if (value === undefined) {
        if (type === FUNCTION) {
          if (begun) throw new UnknownRdb('functions among the keys');
          yield* string(cursor);
          while (cursor.at > cursor.end) yield;
          functions.push(Buffer.from(cursor.held.subarray(this.#from - cursor.base, cursor.at)));
        } else if (type === EOF) break;
        else yield* this.#aside(type);
        continue;
      }
      if (!begun) this.#taker.begin(magic, Buffer.concat(functions));
      begun = true;
      yield* this.#name();
      if (value === 'string') while (!cursor.stepString()) yield;
      else yield* value(cursor);
      const to = cursor.base + cursor.at;
      if (to - this.#from > this.#largest) {
        this.#handOut();
        this.#taker.takeLarge(this.#owner, this.#from, to);
        this.#keys++;
      } else {
        while (cursor.at > cursor.end) yield;
        this.#gather();
      }
      this.#owner = NONE;
    }
    if (!begun) this.#taker.begin(magic, Buffer.concat(functions));
    this.#handOut();
  }

  /** What is neither a key nor a function. */
  *#aside(type: number): Stepping {
    const cursor = this.#cursor;
    if (type === AUX) {
      yield* string(cursor);
      yield* string(cursor);
    } else if (type === RESIZE_DB) {
      yield* length(cursor);
      yield* length(cursor);
    } else if (type === SLOT_INFO) for (let i = 0; i < 3; i++) yield* length(cursor);
    else if (type === SELECT_DB) {
      const database = yield* length(cursor);
      if (database !== 0) throw new UnknownRdb(`keys in database ${database}`);
    } else if (type === MODULE_AUX) yield* moduleAux(cursor);
    else throw new UnknownRdb(`something of type ${type}`);
  }

  /** Steps over the name of a key, which tells its slot. */
  *#name(): Stepping {
    const cursor = this.#cursor;
    const from = cursor.base + cursor.at;
    while (!cursor.stepString()) yield;
    if (cursor.base + cursor.at - from > NAME_BYTES) throw new UnknownRdb('a name of a key that is longer than a MiB');
    while (cursor.at > cursor.end) yield;
    const slot = slotOfKey(nameAt(cursor, from - cursor.base));
    const owner = this.#taker.ownerOf(slot);
    if (owner === undefined) throw new UnknownRdb(`a key of slot ${slot}, which was not its shard's`);
    this.#owner = owner;
  }

  /** The key that was read is handed out together with those right before and after it that have the same owner. */
  #gather(): void {
    const run = this.#run;
    const to = this.#cursor.base + this.#cursor.at;
    if (run.owner !== this.#owner || run.to !== this.#from || to - run.from > this.#largest) {
      this.#handOut();
      run.owner = this.#owner;
      run.from = this.#from;
    }
    run.keys++;
    run.to = to;
    this.#keys++;
  }

  #handOut(): void {
    const run = this.#run;
    if (run.keys === 0) return;
    const { held, base } = this.#cursor;
    this.#taker.take(run.owner, held.subarray(run.from - base, run.to - base), run.keys);
    run.keys = 0;
    run.to = NONE;
  }
}

/** The name of a key that stands at a place: as it is, as a number, or compressed. */
function nameAt(cursor: RdbCursor, from: number): Buffer {
  const { held, at: end } = cursor;
  const first = held[from] as number;
  if (first < 0x40) return held.subarray(from + 1, end);
  if (first < 0x80) return held.subarray(from + 2, end);
  if (first === INT8) return Buffer.from(String(held.readInt8(from + 1)));
  if (first === INT16) return Buffer.from(String(held.readInt16LE(from + 1)));
  if (first === INT32) return Buffer.from(String(held.readInt32LE(from + 1)));
  if (first !== LZF) return held.subarray(from + (first === 0x80 ? 5 : 9), end);
  cursor.at = from + 1;
  cursor.stepLength();
  cursor.stepLength();
  const [packedAt, length] = [cursor.at, cursor.length];
  cursor.at = end;
  try {
    return unpackLzf(held.subarray(packedAt, end), length);
  } catch (error) {
    throw error instanceof RangeError ? new UnknownRdb(`a name that cannot be unpacked: ${error.message}`) : error;
  }
}
