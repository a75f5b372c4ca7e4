import fc from 'fast-check';

/** Bytes of RDBs as servers write them, made without what reads them. The format is that of the servers' rdb.c. */

export type Engine = 'redis' | 'valkey';
export const engines: readonly Engine[] = ['redis', 'valkey'];

const MAGICS: Readonly<Record<Engine, readonly string[]>> = {
  redis: ['REDIS0009', 'REDIS0010', 'REDIS0011', 'REDIS0012'],
  valkey: ['VALKEY080', 'VALKEY081'],
};
export const magicOf = (engine: Engine): fc.Arbitrary<string> => fc.constantFrom(...MAGICS[engine]);

export const opcodes = {
  slotImport: 0xf3,
  slotInfo: 0xf4,
  function: 0xf5,
  moduleAux: 0xf7,
  idle: 0xf8,
  freq: 0xf9,
  aux: 0xfa,
  resizeDb: 0xfb,
  expiresMs: 0xfc,
  expiresS: 0xfd,
  selectDb: 0xfe,
  eof: 0xff,
} as const;
const [INT8, INT16, INT32, LZF] = [0xc0, 0xc1, 0xc2, 0xc3];

/** How many bits a length is written in. */
type Bits = 6 | 14 | 32 | 64;

/** A length, in as few bits as hold it; or in more, which readers take too. */
export function lengthField(value: number | bigint, atLeast: Bits = 6): Buffer {
  const needed: Bits = value < 64 ? 6 : value < 16384 ? 14 : value < 2 ** 32 ? 32 : 64;
  const bits = Math.max(needed, atLeast);
  if (bits === 6) return Buffer.from([Number(value)]);
  if (bits === 14) return Buffer.from([0x40 | (Number(value) >> 8), Number(value) & 0xff]);
  const field = Buffer.alloc(bits === 32 ? 5 : 9);
  field[0] = bits === 32 ? 0x80 : 0x81;
  if (bits === 32) field.writeUInt32BE(Number(value), 1);
  else field.writeBigUInt64BE(BigInt(value), 1);
  return field;
}

export const stringField = (content: string | Uint8Array, atLeast?: Bits): Buffer => {
  const bytes = Buffer.from(content as Uint8Array);
  return Buffer.concat([lengthField(bytes.length, atLeast), bytes]);
};

export function numberField(value: number): Buffer {
  const [mark, bytes] = value === (value << 24) >> 24 ? [INT8, 1] : value === (value << 16) >> 16 ? [INT16, 2] : [INT32, 4];
  const field = Buffer.alloc(1 + bytes);
  field[0] = mark;
  field.writeIntLE(value, 1, bytes);
  return field;
}

/** @param packed what `packLzf` made of so many bytes; or what is no such thing */
export const packedField = (packed: Uint8Array, length: number): Buffer =>
  Buffer.concat([Buffer.from([LZF]), lengthField(packed.length), lengthField(length), packed]);

/** As LibLZF packs: what it has seen within 8 KiB is referred to, where that is three bytes or more; a reference may reach into what it makes. */
export function packLzf(bytes: Uint8Array): Buffer {
  const out: number[] = [];
  const seen = new Map<number, number>();
  let literals: number[] = [];
  const flush = () => {
    if (literals.length > 0) out.push(literals.length - 1, ...literals);
    literals = [];
  };
  for (let at = 0; at < bytes.length; ) {
    const three = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const from = at + 2 < bytes.length ? seen.get(three) : undefined;
    seen.set(three, at);
    let length = 0;
    if (from !== undefined && at - from <= 8192)
      while (length < 264 && at + length < bytes.length && bytes[from + length] === bytes[at + length]) length++;
    if (from === undefined || length < 3) {
      literals.push(bytes[at++] ?? 0);
      if (literals.length === 32) flush();
      continue;
    }
    flush();
    const back = at - from - 1;
    if (length < 9) out.push(((length - 2) << 5) | (back >> 8), back & 0xff);
    else out.push((7 << 5) | (back >> 8), length - 9, back & 0xff);
    at += length;
  }
  flush();
  return Buffer.from(out);
}

/** The slot of a key as the servers' keyHashSlot has it: of what stands in the first pair of braces, or of the whole where that is nothing. */
export function slotOf(name: Buffer): number {
  const open = name.indexOf('{');
  const close = open === -1 ? -1 : name.indexOf('}', open + 1);
  let crc = 0;
  for (const byte of close > open + 1 ? name.subarray(open + 1, close) : name) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc & 0x3fff;
}

/** Bytes, and how they are written as a string of an RDB. */
export interface Written {
  readonly content: Buffer;
  readonly field: Buffer;
}

const raw = (count: number) => fc.uint8Array({ minLength: count, maxLength: count }).map((bytes) => Buffer.from(bytes));
const together = (...parts: readonly fc.Arbitrary<Buffer>[]) => fc.tuple(...parts).map((all) => Buffer.concat(all));
const bits = fc.constantFrom<Bits>(6, 6, 6, 6, 14, 32, 64);
const plain = (content: fc.Arbitrary<Buffer>): fc.Arbitrary<Written> =>
  fc.tuple(content, bits).map(([content, atLeast]) => ({ content, field: stringField(content, atLeast) }));
const short = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes));

const number: fc.Arbitrary<Written> = fc
  .oneof(fc.integer({ min: -128, max: 127 }), fc.integer({ min: -32768, max: 32767 }), fc.integer())
  .map((value) => ({ content: Buffer.from(String(value)), field: numberField(value) }));

/** Bytes of which some come again: soon, late, and right after themselves. */
const repeating = (maxWords: number) =>
  fc
    .array(
      fc.oneof(
        short,
        fc.constantFrom('user:', 'aaaa', 'abcabcabc', '{tag}', '{}').map((text) => Buffer.from(text)),
      ),
      {
        minLength: 1,
        maxLength: 6,
      },
    )
    .chain((words) =>
      fc
        .array(fc.tuple(fc.constantFrom(...words), fc.integer({ min: 1, max: 40 })), { maxLength: maxWords })
        .map((picked) => Buffer.concat(picked.flatMap(([word, times]) => new Array<Buffer>(times).fill(word)))),
    );
const packed = (content: fc.Arbitrary<Buffer>): fc.Arbitrary<Written> =>
  content.map((content) => ({ content, field: packedField(packLzf(content), content.length) }));
export const packable: fc.Arbitrary<Buffer> = fc.oneof(short, repeating(6), repeating(100));

/** So many bytes, of a pattern that never ends at a border of anything. */
const long = (min: number, max: number) =>
  fc.tuple(fc.integer({ min, max }), raw(7)).map(([bytes, pattern]) => Buffer.alloc(bytes, pattern));

const text: fc.Arbitrary<Buffer> = fc
  .oneof(
    { weight: 12, arbitrary: plain(short) },
    { weight: 4, arbitrary: number },
    { weight: 2, arbitrary: packed(repeating(6)) },
    { weight: 1, arbitrary: plain(long(60, 400)) },
  )
  .map(({ field }) => field);

const tagged = fc
  .tuple(short, short, short)
  .map(([before, tag, after]) => Buffer.concat([before, Buffer.from('{'), tag, Buffer.from('}'), after]));

/** Names of keys, in every way in which they are written. */
export const name: fc.Arbitrary<Written> = fc.oneof(
  { weight: 5, arbitrary: plain(short) },
  { weight: 4, arbitrary: plain(tagged) },
  { weight: 1, arbitrary: plain(fc.tuple(tagged, tagged).map((both) => Buffer.concat(both))) },
  { weight: 4, arbitrary: number },
  { weight: 3, arbitrary: packed(repeating(6)) },
  { weight: 2, arbitrary: plain(long(64, 400)) },
  { weight: 1, arbitrary: plain(long(400, 20_000)) },
  { weight: 1, arbitrary: packed(repeating(100)) },
);

const many = (...fields: readonly fc.Arbitrary<Buffer>[]) =>
  fc.array(together(...fields), { maxLength: 4 }).map((all) => Buffer.concat([lengthField(all.length), ...all]));
const crowd = fc
  .array(number, { minLength: 64, maxLength: 80 })
  .map((all) => Buffer.concat([lengthField(all.length), ...all.map(({ field }) => field)]));
const length = fc.oneof(fc.nat({ max: 63 }), fc.nat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })).map((value) => lengthField(value));
const lengths = (count: number) => together(...new Array<typeof length>(count).fill(length));

const score = fc.oneof(
  fc.constantFrom(253, 254, 255).map((mark) => Buffer.from([mark])),
  fc.double().map((value) => Buffer.concat([Buffer.from([String(value).length]), Buffer.from(String(value))])),
  fc.constantFrom(0, 1, 252).map((digits) => Buffer.concat([Buffer.from([digits]), Buffer.alloc(digits, '7')])),
);

const kind = (number: number, content: fc.Arbitrary<Buffer>) => content.map((bytes) => Buffer.concat([Buffer.from([number]), bytes]));
const moduleFields = fc
  .array(fc.oneof(kind(1, length), kind(2, length), kind(3, raw(4)), kind(4, raw(8)), kind(5, text)), { maxLength: 6 })
  .map((fields) => Buffer.concat([...fields, Buffer.from([0])]));
const moduleId = fc.bigInt({ min: 2n ** 40n, max: 2n ** 64n - 1n }).map((id) => lengthField(id));

const ID = raw(16);
const TIME = raw(8);
/** Pieces by the ids that they begin with; how many entries and which ids; groups, with what their consumers were given and have not answered. */
function stream({ ids, read, seen }: { readonly ids: number; readonly read: number; readonly seen: number }): fc.Arbitrary<Buffer> {
  const pending = many(ID, TIME, length);
  const consumers = many(text, ...new Array<typeof TIME>(seen).fill(TIME), many(ID));
  return together(many(text, text), lengths(1 + ids), many(text, lengths(2 + read), pending, consumers));
}

const COMMON: readonly (readonly [type: number, fc.Arbitrary<Buffer>])[] = [
  [0, text],
  [1, fc.oneof({ weight: 4, arbitrary: many(text) }, { weight: 1, arbitrary: crowd })],
  [2, many(text)],
  [3, many(text, score)],
  [4, many(text, text)],
  [5, many(text, raw(8))],
  [7, together(moduleId, moduleFields)],
  [9, text],
  [10, text],
  [11, text],
  [12, text],
  [13, text],
  [14, many(text)],
  [15, stream({ ids: 2, read: 0, seen: 1 })],
  [16, text],
  [17, text],
  [
    18,
    many(
      fc.constantFrom(1, 2).map((container) => lengthField(container)),
      text,
    ),
  ],
  [19, stream({ ids: 7, read: 1, seen: 1 })],
  [20, text],
  [21, stream({ ids: 7, read: 1, seen: 2 })],
];
const OWN: Readonly<Record<Engine, typeof COMMON>> = {
  redis: [
    [24, together(TIME, many(length, text, text))],
    [25, together(TIME, text)],
  ],
  valkey: [[22, many(text, text, TIME)]],
};

/** Values by the number of their type. */
export const valuesWritten = (engine: Engine): ReadonlyMap<number, fc.Arbitrary<Buffer>> => new Map([...COMMON, ...OWN[engine]]);

/** A key with all that belongs to it. */
export interface StoredKey {
  readonly type: number;
  readonly name: Buffer;
  readonly bytes: Buffer;
}

/** What is said of a key before its type. */
const said = fc
  .tuple(
    fc.option(fc.oneof(kind(opcodes.expiresMs, TIME), kind(opcodes.expiresS, raw(4)))),
    fc.option(fc.oneof(kind(opcodes.idle, length), kind(opcodes.freq, raw(1)))),
  )
  .map((parts) => Buffer.concat(parts.flatMap((part) => part ?? [])));

export const keyOf = (type: number, value: fc.Arbitrary<Buffer>): fc.Arbitrary<StoredKey> =>
  fc.tuple(said, name, value).map(([before, { content, field }, bytes]) => ({
    type,
    name: content,
    bytes: Buffer.concat([before, Buffer.from([type]), field, bytes]),
  }));
const anyKey = (engine: Engine) => fc.oneof(...[...valuesWritten(engine)].map(([type, value]) => keyOf(type, value)));

/** A string of the most common kind. */
export const keyNamed = (name: string | Buffer, value: string | Buffer = 'value'): StoredKey => ({
  type: 0,
  name: Buffer.from(name as Buffer),
  bytes: Buffer.concat([Buffer.from([0]), stringField(name), stringField(value)]),
});

/** A list of so many of the same. */
export const listNamed = (name: string, count: number, value: Buffer): StoredKey => ({
  type: 1,
  name: Buffer.from(name),
  bytes: Buffer.concat([Buffer.from([1]), stringField(name), lengthField(count), ...new Array<Buffer>(count).fill(stringField(value))]),
});

export interface RdbFile {
  readonly magic: string;
  /** As they stand in it. */
  readonly functions: Buffer;
  readonly keys: readonly (StoredKey & { readonly from: number })[];
  readonly bytes: Buffer;
  /** Where the mark of its end stands. */
  readonly endsAt: number;
}

interface Parts {
  readonly magic: string;
  /** What stands before the first key; functions are told apart. */
  readonly head?: readonly Buffer[];
  readonly functions?: Buffer;
  /** Keys, each with what stands right before it and is no part of it. */
  readonly keys: readonly (StoredKey & { readonly aside?: Buffer })[];
  readonly tail?: Buffer;
  readonly checksum?: Buffer;
}

/** Puts a file together, in the order in which servers write one. */
export function fileOf({ magic, head = [], functions = Buffer.alloc(0), keys, tail, checksum = Buffer.alloc(8) }: Parts): RdbFile {
  const parts = [Buffer.from(magic), ...head, functions];
  if (keys.length > 0)
    parts.push(Buffer.from([opcodes.selectDb, 0]), Buffer.from([opcodes.resizeDb]), lengthField(keys.length), lengthField(0));
  let at = Buffer.concat(parts).length;
  const placed = keys.map(({ aside = Buffer.alloc(0), ...key }) => {
    const from = at + aside.length;
    parts.push(aside, key.bytes);
    at = from + key.bytes.length;
    return { ...key, from };
  });
  parts.push(tail ?? Buffer.alloc(0));
  const endsAt = Buffer.concat(parts).length;
  return { magic, functions, keys: placed, bytes: Buffer.concat([...parts, Buffer.from([opcodes.eof]), checksum]), endsAt };
}

const aux = kind(opcodes.aux, together(text, text));
const moduleAux = kind(opcodes.moduleAux, together(moduleId, fc.constant(Buffer.from([2, 1])), moduleFields));
const slotInfo = kind(opcodes.slotInfo, lengths(3));
const library = kind(
  opcodes.function,
  fc.oneof({ weight: 3, arbitrary: text }, { weight: 1, arbitrary: plain(long(60, 3000)).map(({ field }) => field) }),
);
const sometimes = (field: fc.Arbitrary<Buffer>) =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(Buffer.alloc(0)) }, { weight: 1, arbitrary: field });

export const fileWith = (engine: Engine, keys: fc.Arbitrary<readonly StoredKey[]>): fc.Arbitrary<RdbFile> =>
  keys.chain((all) =>
    fc
      .record({
        magic: magicOf(engine),
        head: fc.array(fc.oneof({ weight: 3, arbitrary: aux }, { weight: 1, arbitrary: moduleAux }), { maxLength: 4 }),
        functions: fc.array(library, { maxLength: 2 }).map((libraries) => Buffer.concat(libraries)),
        asides: fc.array(sometimes(slotInfo), { minLength: all.length, maxLength: all.length }),
        tail: sometimes(moduleAux),
        checksum: raw(8),
      })
      .map(({ asides, ...parts }) => fileOf({ ...parts, keys: all.map((key, i) => ({ ...key, aside: asides[i] ?? Buffer.alloc(0) })) })),
  );

/** A file of an engine, with keys of all types. */
export const anyFile = (engine: Engine, maxKeys: number): fc.Arbitrary<RdbFile> =>
  fileWith(engine, fc.array(anyKey(engine), { maxLength: maxKeys }));
