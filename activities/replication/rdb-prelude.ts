/** What stands in an RDB before its first key. The format is that of the servers' rdb.c. */
export interface RdbPrelude {
  /** Function libraries: all of them stand here. */
  readonly functions: number;
  /** The first database, and the keys in it at the moment of the fork, as the server counted them: also those that had expired and were still there. */
  readonly database: number;
  readonly keys: number;
}

/** Reads the prelude of an RDB that goes by in pieces. Holds the few bytes of one field. */
export interface RdbPreludeReader {
  add(chunk: Uint8Array): void;
  /** Undefined while it was not all there, and when it holds something that is not known. */
  result(): RdbPrelude | undefined;
}

const [MODULE_AUX, FUNCTION, AUX, RESIZE_DB, SELECT_DB, EOF] = [0xf7, 0xf5, 0xfa, 0xfb, 0xfe, 0xff];
const MAGIC_BYTES = 9;

/** What the reader needs next: so many bytes to look at, or to pass over. */
type Want = { readonly take: number } | { readonly skip: number };
type Part<T> = Generator<Want, T, Buffer>;

class Unknown extends Error {}

function* byte(): Part<number> {
  return (yield { take: 1 }).readUInt8();
}

/** A length; or undefined, with the way in which a number or a compressed string is written instead. */
function* length(): Part<{ readonly length: number } | { readonly encoding: number }> {
  const first = yield* byte();
  if (first < 0x40) return { length: first };
  if (first < 0x80) return { length: ((first & 0x3f) << 8) | (yield* byte()) };
  if (first === 0x80) return { length: (yield { take: 4 }).readUInt32BE() };
  if (first === 0x81) return { length: Number((yield { take: 8 }).readBigUInt64BE()) };
  return { encoding: first & 0x3f };
}

function* number(): Part<number> {
  const read = yield* length();
  if ('encoding' in read) throw new Unknown('a length was expected');
  return read.length;
}

function* text(): Part<void> {
  const read = yield* length();
  if ('length' in read) yield { skip: read.length };
  else if (read.encoding <= 2) yield { skip: 2 ** read.encoding };
  else if (read.encoding === 3) {
    const packed = yield* number();
    yield* number();
    yield { skip: packed };
  } else throw new Unknown('no such encoding');
}

function* moduleAux(): Part<void> {
  yield* number(); // whose it is
  yield* number(); // two for where it stands
  yield* number();
  for (;;) {
    const kind = yield* number();
    if (kind === 0) return;
    if (kind === 1 || kind === 2) yield* number();
    else if (kind === 3) yield { skip: 4 };
    else if (kind === 4) yield { skip: 8 };
    else if (kind === 5) yield* text();
    else throw new Unknown('no such field of a module');
  }
}

function* prelude(): Part<RdbPrelude> {
  yield { skip: MAGIC_BYTES };
  let [functions, database] = [0, 0];
  for (;;) {
    const opcode = yield* byte();
    if (opcode === AUX) {
      yield* text();
      yield* text();
    } else if (opcode === MODULE_AUX) yield* moduleAux();
    else if (opcode === FUNCTION) {
      yield* text();
      functions++;
    } else if (opcode === SELECT_DB) database = yield* number();
    else if (opcode === RESIZE_DB) return { functions, database, keys: yield* number() };
    else if (opcode === EOF) return { functions, database, keys: 0 };
    else throw new Unknown(`opcode ${opcode}`);
  }
}

export function createRdbPreludeReader(): RdbPreludeReader {
  const reading = prelude();
  let want: Want | undefined;
  let held = Buffer.alloc(0);
  let left = 0;
  let found: RdbPrelude | undefined;

  const next = (bytes: Buffer): void => {
    try {
      const step = reading.next(bytes);
      if (step.done === true) found = step.value;
      want = step.done === true ? undefined : step.value;
    } catch (error) {
      if (!(error instanceof Unknown)) throw error;
      want = undefined;
    }
    left = want === undefined ? 0 : 'take' in want ? want.take : want.skip;
  };
  next(Buffer.alloc(0));

  return {
    add(chunk) {
      for (let at = 0; want !== undefined; ) {
        const part = Buffer.from(chunk.buffer, chunk.byteOffset + at, Math.min(left, chunk.length - at));
        at += part.length;
        left -= part.length;
        if ('take' in want) held = Buffer.concat([held, part]);
        if (left > 0) return;
        const bytes = held;
        held = Buffer.alloc(0);
        next(bytes);
      }
    },
    result: () => found,
  };
}
