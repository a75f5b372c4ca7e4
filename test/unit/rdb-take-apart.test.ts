import calculateSlot from 'cluster-key-slot';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UnknownRdb } from '../../activities/rdb/cursor.ts';
import { unpackLzf } from '../../activities/rdb/lzf.ts';
import { type Taker, takeApart } from '../../activities/rdb/take-apart.ts';
import { valuesOf } from '../../activities/rdb/values.ts';
import { slotOfKey } from '../../activities/redis/key-slot.ts';
import {
  anyFile,
  engines,
  fileOf,
  fileWith,
  keyNamed,
  keyOf,
  lengthField,
  listNamed,
  name as nameArbitrary,
  opcodes,
  packable,
  packedField,
  packLzf,
  type RdbFile,
  type StoredKey,
  slotOf,
  stringField,
  valuesWritten,
} from './rdb-files.ts';
import { cutInto, cuts } from './replication-streams.ts';

/** What was handed out, in order. */
type Handed =
  | { readonly what: 'begin'; readonly magic: string; readonly functions: Buffer }
  | { readonly what: 'take'; readonly owner: number; readonly bytes: Buffer; readonly keys: number }
  | { readonly what: 'large'; readonly owner: number; readonly from: number; readonly to: number };

function recorder(ownerOf: Taker['ownerOf']): { readonly handed: Handed[]; readonly taker: Taker } {
  const handed: Handed[] = [];
  return {
    handed,
    taker: {
      ownerOf,
      begin: (magic, functions) => void handed.push({ what: 'begin', magic, functions: Buffer.from(functions) }),
      take: (owner, bytes, keys) => void handed.push({ what: 'take', owner, bytes: Buffer.from(bytes), keys }),
      takeLarge: (owner, from, to) => void handed.push({ what: 'large', owner, from, to }),
      rest: () => undefined,
    },
  };
}

/** Chunks of a reader that uses its memory again for the next one. */
async function* reusing(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk);
    yield lent;
    lent.fill(0xee);
  }
}

const whole = (bytes: Buffer) => reusing([bytes]);
const ANY = { largestBytes: 1024 ** 2 };
const takenApart = async (bytes: Buffer, ownerOf: Taker['ownerOf'] = () => 0) => {
  const { handed, taker } = recorder(ownerOf);
  return { keys: await takeApart(whole(bytes), taker, ANY), handed };
};

/** The keys that an owner got are its own, in their order, byte for byte, and none is missing. */
function requireOwn(file: RdbFile, handed: readonly Handed[], owner: number, own: RdbFile['keys'], largestBytes: number): void {
  let next = 0;
  for (const one of handed) {
    if (one.what === 'begin' || one.owner !== owner) continue;
    if (one.what === 'large') {
      const key = own[next++];
      expect([one.from, one.to]).toEqual([key?.from, (key?.from ?? 0) + (key?.bytes.length ?? 0)]);
      expect(one.to - one.from).toBeGreaterThan(largestBytes);
      expect(file.bytes.subarray(one.from, one.to).equals(key?.bytes ?? Buffer.alloc(0))).toBe(true);
      continue;
    }
    const keys = own.slice(next, next + one.keys);
    next += one.keys;
    expect(one.keys).toBeGreaterThan(0);
    expect(one.bytes.length).toBeLessThanOrEqual(largestBytes);
    expect(one.bytes.toString('hex')).toBe(Buffer.concat(keys.map(({ bytes }) => bytes)).toString('hex'));
  }
  expect(next).toBe(own.length);
}

const owners = fc.record({ count: fc.integer({ min: 1, max: 5 }), slots: fc.constantFrom(1, 100, 4096) });
const largest = fc.oneof(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 1, max: 3000 }), fc.constant(ANY.largestBytes));

describe('an RDB that is taken apart', () => {
  const handsOut = async (
    file: RdbFile,
    { count, slots }: { readonly count: number; readonly slots: number },
    largestBytes: number,
    at: Parameters<typeof cutInto>[1],
  ): Promise<void> => {
    const ownerOf = (slot: number) => Math.floor(slot / slots) % count;
    const { handed, taker } = recorder(ownerOf);
    expect(await takeApart(reusing(cutInto(file.bytes, at)), taker, { largestBytes })).toBe(file.keys.length);
    const [first, ...others] = handed;
    expect(first).toEqual({ what: 'begin', magic: file.magic, functions: file.functions });
    expect(others.filter(({ what }) => what === 'begin')).toEqual([]);
    for (let owner = 0; owner < count; owner++) {
      const own = file.keys.filter(({ name }) => ownerOf(slotOf(name)) === owner);
      requireOwn(file, handed, owner, own, largestBytes);
    }
  };

  for (const engine of engines) {
    test(`of ${engine} gives every owner its own keys byte for byte, in their order, wherever it is cut`, async () => {
      await fc.assert(fc.asyncProperty(anyFile(engine, 10), owners, largest, cuts, handsOut), { numRuns: 500 });
    });

    test(`of ${engine} may hold every type of value that is known`, async () => {
      const types = valuesWritten(engine);
      expect([...types.keys()].toSorted()).toEqual([...valuesOf(engine === 'redis' ? 'REDIS0012' : 'VALKEY080').keys()].toSorted());
      for (const [type, value] of types) {
        const file = fileWith(engine, fc.array(keyOf(type, value), { minLength: 1, maxLength: 3 }));
        const found = await fc.check(fc.asyncProperty(file, owners, largest, cuts, handsOut), { numRuns: 25 });
        expect(found.failed ? fc.defaultReportMessage(found) : undefined, `type ${type}`).toBeUndefined();
      }
    });
  }

  test('hands keys of one owner out together, as many as are no longer than the largest key may be', async () => {
    const keys = Array.from({ length: 50 }, (_, i) => keyNamed(`{a}${i}`, 'x'.repeat(50)));
    const { handed, taker } = recorder(() => 0);
    const { bytes } = fileOf({ magic: 'REDIS0012', keys });
    await takeApart(whole(bytes), taker, { largestBytes: 1000 });
    const takes = handed.filter((one) => one.what === 'take');
    expect(takes.reduce((sum, { keys }) => sum + keys, 0)).toBe(50);
    for (const { bytes } of takes.slice(0, -1)) expect(bytes.length).toBeGreaterThan(1000 - 60);
  });

  test.each([
    ['a string', keyNamed('large', Buffer.alloc(5 * 1024 ** 2, 'x'))],
    ['a list', listNamed('large', 50_000, Buffer.alloc(100, 'x'))],
  ])('names a large key, %s, without keeping it, and one that is just not too large is handed out', async (_, large) => {
    const file = fileOf({ magic: 'REDIS0012', keys: [keyNamed('before'), large, keyNamed('after')] });
    const { length } = large.bytes;
    const from = file.keys[1]?.from ?? 0;
    const handedOut = async (largestBytes: number) => {
      const { handed, taker } = recorder(() => 3);
      let held = 0;
      const take: Taker['take'] = (owner, bytes, keys) => {
        held = bytes.buffer.byteLength;
        taker.take(owner, bytes, keys);
      };
      const chunks = cutInto(
        file.bytes,
        Array.from({ length: 80 }, (_, i) => i * 65_536),
      );
      await takeApart(reusing(chunks), { ...taker, take }, { largestBytes });
      return { what: handed.map(({ what }) => what), large: handed.filter(({ what }) => what === 'large'), held };
    };
    for (const largestBytes of [1000, 200_000]) {
      const { what, large, held } = await handedOut(largestBytes);
      expect(what).toEqual(['begin', 'take', 'large', 'take']);
      expect(large).toEqual([{ what: 'large', owner: 3, from, to: from + length }]);
      expect(held).toBeLessThanOrEqual(512 * 1024);
    }
    expect((await handedOut(length - 1)).large).toEqual([{ what: 'large', owner: 3, from, to: from + length }]);
    const whole = await handedOut(length);
    expect(whole.large).toEqual([]);
    expect(whole.held, 'a control').toBeGreaterThan(length);
  });

  test('is read no faster than what is taken is done with', async () => {
    const { bytes } = fileOf({ magic: 'VALKEY080', keys: [keyNamed('a'), keyNamed('b')] });
    let [read, rests] = [0, 0];
    async function* counted() {
      for (const chunk of cutInto(bytes, 'pairs')) {
        expect(rests).toBe(read);
        read++;
        yield chunk;
      }
    }
    const rest = async () => {
      await new Promise(setImmediate);
      rests++;
    };
    await takeApart(counted(), { ...recorder(() => 0).taker, rest }, ANY);
    expect(rests).toBe(read);
    await expect(
      takeApart(counted(), { ...recorder(() => 0).taker, rest: () => Promise.reject(new Error('full')) }, ANY),
    ).rejects.toThrow();
  });

  test('without keys begins all the same, with its functions', async () => {
    const functions = Buffer.concat([Buffer.from([opcodes.function]), stringField('#!lua name=a')]);
    const { handed, keys } = await takenApart(fileOf({ magic: 'VALKEY080', functions, keys: [] }).bytes);
    expect([keys, handed]).toEqual([0, [{ what: 'begin', magic: 'VALKEY080', functions }]]);
  });
});

describe('the slot of a key', () => {
  test('is reckoned as servers do', () => {
    fc.assert(
      fc.property(nameArbitrary, ({ content }) => {
        expect(slotOfKey(content)).toBe(slotOf(content));
        // The library goes on after braces that hold nothing.
        if (!/^[^{]*\{\}.*\}/s.test(content.toString('latin1'))) expect(slotOf(content)).toBe(calculateSlot(content));
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['foo{}{bar}', 8363],
    ['{}}', 14790],
    ['{}{a}', 13650],
    ['{}a}', 4370],
    ['{a}{b}', 15495],
  ])('is for %s what valkey 9.1 answers to CLUSTER KEYSLOT, and that is where its key goes', async (name, slot) => {
    const asked: number[] = [];
    await takenApart(fileOf({ magic: 'REDIS0012', keys: [keyNamed(name)] }).bytes, (its) => {
      asked.push(its);
      return 0;
    });
    expect([slotOf(Buffer.from(name)), asked]).toEqual([slot, [slot]]);
  });
});

describe('an RDB is refused', () => {
  const refused = async (bytes: Buffer, ownerOf?: Taker['ownerOf']): Promise<void> => {
    await expect(takenApart(bytes, ownerOf), bytes.toString('hex', 0, 200)).rejects.toThrow(UnknownRdb);
  };
  const magic = 'REDIS0012';
  const withAside = (...bytes: readonly (Buffer | number)[]) => {
    const aside = Buffer.concat(bytes.map((part) => (typeof part === 'number' ? Buffer.from([part]) : part)));
    return fileOf({ magic, keys: [keyNamed('a'), { ...keyNamed('b'), aside }] }).bytes;
  };
  const typed = (type: number, ...value: readonly number[]): StoredKey => ({
    type,
    name: Buffer.from('n'),
    bytes: Buffer.concat([Buffer.from([type]), stringField('n'), Buffer.from(value)]),
  });

  test('with a value of a type that is not known, which may be the other engine’s', async () => {
    for (const engine of engines)
      for (let type = 0; type < opcodes.slotImport; type++)
        if (!valuesWritten(engine).has(type))
          await refused(fileOf({ magic: engine === 'redis' ? magic : 'VALKEY080', keys: [keyNamed('a'), typed(type, 0, 0, 0)] }).bytes);
  });

  test('with something in it that is not known, or fields of modules that are not', async () => {
    await refused(withAside(opcodes.slotImport, stringField('a'), 0));
    await refused(withAside(0xf6, stringField('a')));
    await refused(withAside(opcodes.moduleAux, 1, 2, 1, 6, 0));
    await refused(fileOf({ magic, keys: [typed(7, 1, 6, 0)] }).bytes);
    expect((await takenApart(withAside(opcodes.moduleAux, 1, 2, 1, 1, 7, 0))).keys, 'a control').toBe(2);
  });

  test('with a second database, which no node of a cluster has', async () => {
    await refused(withAside(opcodes.selectDb, 1));
    await refused(withAside(opcodes.selectDb, lengthField(70)));
    expect((await takenApart(withAside(opcodes.selectDb, 0))).keys, 'a control').toBe(2);
  });

  test('with a key that nobody is to have', async () => {
    const { bytes } = fileOf({ magic, keys: [keyNamed('a'), keyNamed('b')] });
    await refused(bytes, (slot) => (slot === slotOf(Buffer.from('b')) ? undefined : 0));
    expect((await takenApart(bytes, (slot) => (slot === slotOf(Buffer.from('c')) ? undefined : 0))).keys, 'a control').toBe(2);
  });

  test('with a name that is longer than any, or cannot be unpacked', async () => {
    const named = (field: Buffer) =>
      fileOf({ magic, keys: [{ ...keyNamed(''), bytes: Buffer.concat([Buffer.from([0]), field, stringField('v')]) }] });
    await refused(named(stringField(Buffer.alloc(1024 ** 2))).bytes);
    expect((await takenApart(named(stringField(Buffer.alloc(1024 ** 2 - 5))).bytes)).keys, 'a control').toBe(1);
    await refused(named(packedField(packLzf(Buffer.from('aaaaaaaa')), 9)).bytes);
    await refused(named(packedField(Buffer.from([0x20, 0x00]), 3)).bytes);
  });

  test('with a length that is none', async () => {
    const long = [0, 0, 0, 0, 0, 0, 0];
    for (const mark of [0x82, 0xbf, 0xc4, 0xff]) await refused(fileOf({ magic, keys: [typed(0, mark, ...long, 1, 0)] }).bytes);
    for (const mark of [0x82, 0xc0, 0xff]) await refused(fileOf({ magic, keys: [typed(1, mark, ...long, 1, 0)] }).bytes);
    for (const type of [0, 1])
      expect((await takenApart(fileOf({ magic, keys: [typed(type, 0x81, ...long, 1, 0)] }).bytes)).keys, 'a control').toBe(1);
  });

  test('when it does not begin as one', async () => {
    for (const text of [
      '',
      'R',
      'REDIS',
      'REDIS001',
      'redis0012\xff',
      'REDIS00a2\xff',
      'VALKEY08\xff',
      'VALKEYABC\xff',
      '$5\r\nREDIS0012\xff',
    ])
      await refused(Buffer.from(text, 'latin1'));
    await fc.assert(fc.asyncProperty(fc.uint8Array(), (bytes) => refused(Buffer.from(bytes))));
  });

  test('when it is cut short anywhere before its end', async () => {
    const file = fc.constantFrom(...engines).chain((engine) => anyFile(engine, 3));
    await fc.assert(
      fc.asyncProperty(file, fc.array(fc.nat(), { minLength: 4, maxLength: 4 }), largest, cuts, async (file, more, largestBytes, at) => {
        const ends =
          file.endsAt <= 400 ? Array.from({ length: file.endsAt + 1 }, (_, end) => end) : more.map((end) => end % (file.endsAt + 1));
        for (const end of ends) {
          const cut = takeApart(reusing(cutInto(file.bytes.subarray(0, end), at)), recorder(() => 0).taker, { largestBytes });
          await expect(cut, `cut at ${end}`).rejects.toThrow(UnknownRdb);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('when it is cut short in a length, right where the memory ends that holds it', async () => {
    const value = lengthField(5, 32);
    const filler = (bytes: number) => keyNamed('f', Buffer.alloc(bytes - 8, 'x'));
    for (const left of [1, 2, 3, 4]) {
      const key = keyNamed('key');
      const before = fileOf({ magic, keys: [filler(70_000)] }).endsAt + 1 + 4;
      const { bytes } = fileOf({
        magic,
        keys: [
          filler(70_000 + 256 * 1024 - before - left),
          { ...key, bytes: Buffer.concat([Buffer.from([0]), stringField('key'), value, Buffer.from('value')]) },
        ],
      });
      const cut = bytes.subarray(0, 256 * 1024);
      expect(cut.subarray(-left).equals(value.subarray(0, left))).toBe(true);
      await refused(cut);
    }
  });
});

describe('what LibLZF has packed', () => {
  const unpacked = (packed: readonly number[], length: number) => () => unpackLzf(Buffer.from(packed), length);
  const a = 'a'.charCodeAt(0);

  test('comes out as it was', () => {
    fc.assert(
      fc.property(packable, (bytes) => {
        expect(unpackLzf(packLzf(bytes), bytes.length).equals(bytes)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('may refer to what it makes itself, and far back', () => {
    expect(unpacked([0, a, 0x20, 0], 4)().toString()).toBe('aaaa');
    expect(unpacked([1, a, a + 1, 0xe0, 0, 1], 11)().toString()).toBe('abababababa');
    const far = Buffer.concat([Buffer.from('abcdef'), Buffer.alloc(8186, 0), Buffer.from('abcdef')]);
    expect(packLzf(far).subarray(-2)).toEqual(Buffer.from([(4 << 5) | (8191 >> 8), 8191 & 0xff]));
    expect(unpackLzf(packLzf(far), far.length).equals(far)).toBe(true);
    expect(packLzf(Buffer.alloc(1000, 'a')).length).toBeLessThan(20);
  });

  test('is refused when it refers to what is before its beginning, or is longer or shorter than it is said to be', () => {
    expect(unpacked([0x20, 0], 3)).toThrow(RangeError);
    expect(unpacked([0, a, 0x20, 1], 4)).toThrow(RangeError);
    expect(unpacked([0, a, 0x20, 0], 3)).toThrow(RangeError);
    expect(unpacked([0, a, 0x20, 0], 5)).toThrow(RangeError);
    expect(unpacked([1, a, a], 1)).toThrow(RangeError);
    expect(unpacked([1, a, a], 3)).toThrow(RangeError);
    expect(unpacked([], 1)).toThrow(RangeError);
    expect(unpacked([], 0)().length).toBe(0);
  });

  test('is refused when it is cut short', () => {
    expect(unpacked([2, a], 3)).toThrow(RangeError);
    expect(unpacked([0, a, 0x20], 4)).toThrow(RangeError);
    expect(unpacked([0, a, 0xe0], 1)).toThrow(RangeError);
    fc.assert(
      fc.property(packable, fc.nat(), (bytes, cut) => {
        const packed = packLzf(bytes);
        fc.pre(packed.length > 0);
        expect(() => unpackLzf(packed.subarray(0, cut % packed.length), bytes.length)).toThrow(RangeError);
      }),
    );
  });
});
