import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openStream } from '../../activities/backup/open.ts';
import { sealStream } from '../../activities/backup/seal.ts';
import { inChunks, kek, opened, sealed, takenApart } from './backup-objects.ts';

const FRAME = 16;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** A failure of this type whose message matches; nothing is worth trying again. */
const damaged = (message: RegExp) => ({ type: 'ObjectDamaged', nonRetryable: true, message: expect.stringMatching(message) });

describe('a sealed object', () => {
  test('gives back what was sealed, whatever its length around the borders of frames and however it comes in pieces', async () => {
    const lengths = fc.nat(6).chain((frames) => fc.integer({ min: -2, max: 2 }).map((by) => Math.max(0, frames * FRAME + by)));
    const chunks = fc.integer({ min: 1, max: 70 });
    await fc.assert(
      fc.asyncProperty(lengths, chunks, chunks, fc.constantFrom('zstd', 'none'), async (length, inBytes, outBytes, compression) => {
        const plain = randomBytes(length);
        const object = await sealed(plain, { compression, chunkBytes: inBytes });
        const back = await opened(object.bytes, { chunkBytes: outBytes, id: object.facts.id });
        expect(back.bytes.equals(plain)).toBe(true);
        expect(back.facts).toEqual(object.facts);
      }),
      { numRuns: 300 },
    );
  });

  test.each([0, 1, 1024 ** 2 - 1, 1024 ** 2, 1024 ** 2 + 1, 3_500_000])(
    'of %i bytes comes back with frames of the usual size',
    async (length) => {
      const plain = Buffer.alloc(length, 'key:value;');
      randomBytes(Math.min(length, 1_500_000)).copy(plain);
      for (const compression of ['zstd', 'none'] as const) {
        const object = await sealed(plain, { compression, frameBytes: 1024 ** 2 });
        expect((await opened(object.bytes)).bytes.equals(plain)).toBe(true);
      }
    },
  );

  test('tells sizes and digests of what went in and of what came out', async () => {
    const plain = randomBytes(1000);
    const { bytes, facts } = await sealed(plain, { compression: 'zstd' });
    expect(facts).toMatchObject({ plainBytes: 1000, plainSha256: sha256(plain), storedBytes: bytes.length, storedSha256: sha256(bytes) });
    expect(facts.kek).toBe(kek.id);
  });

  test('without content is one empty last frame', async () => {
    const { bytes } = await sealed(new Uint8Array(0));
    const { frames } = takenApart(bytes);
    expect(frames.map((frame) => frame.subarray(0, 5).toString('hex'))).toEqual(['0100000000']);
    expect((await opened(bytes)).bytes).toHaveLength(0);
  });

  test('that ends at the border of a frame has no empty frame', async () => {
    const { frames } = takenApart((await sealed(randomBytes(3 * FRAME))).bytes);
    expect(frames.map((frame) => [frame[0], frame.length])).toEqual([
      [0, FRAME + 21],
      [0, FRAME + 21],
      [1, FRAME + 21],
    ]);
  });

  test('says in its first line, for anyone to read, what it is and where it belongs', async () => {
    const { bytes, facts } = await sealed(randomBytes(5), { about: { cluster: 'orders', shard: 2, label: 'vor dem Umzug, „grün“' } });
    const [, json = ''] = /^holdfast-sealed-1 (\{.*\}) [A-Za-z0-9+/]{80}\n/.exec(bytes.toString()) ?? [];
    expect(JSON.parse(json)).toEqual({
      id: facts.id,
      content: 'rdb',
      about: { cluster: 'orders', shard: 2, label: 'vor dem Umzug, „grün“' },
      compression: 'none',
      cipher: 'aes-256-gcm',
      frameBytes: FRAME,
      kek: kek.id,
    });
    const opening = openStream(inChunks(bytes, 7), { name: 'shard-0', kekById: async () => kek.key });
    expect(() => opening.header()).toThrow('not read yet');
    for await (const _ of opening.bytes) expect(opening.header().about).toMatchObject({ shard: 2 });
  });

  test('is another one each time, and shows nothing of what is in it', async () => {
    const plain = Buffer.from('the same secret value, over and over: '.repeat(20));
    const [one, two] = [await sealed(plain), await sealed(plain)];
    expect(one.facts.id).not.toBe(two.facts.id);
    expect(takenApart(one.bytes).frames[0]?.equals(takenApart(two.bytes).frames[0] ?? Buffer.alloc(0))).toBe(false);
    expect(one.bytes.includes('secret')).toBe(false);
  });

  test('does not tell its sizes before it is complete', async () => {
    const sealing = sealStream(inChunks(randomBytes(100), 10), { kek, content: 'rdb' });
    for await (const _ of sealing.bytes) expect(() => sealing.facts()).toThrow('not complete');
    expect(sealing.facts().plainBytes).toBe(100);
  });

  test('with too much to say in its header is not made', () => {
    expect(() => sealStream(inChunks(randomBytes(1), 1), { kek, content: 'rdb', about: { text: 'x'.repeat(5000) } })).toThrow('say less');
  });
});

describe('a sealed object that is not as it was made is refused:', () => {
  const plain = randomBytes(3 * FRAME + 5);

  test('any byte changed, and the frame or the header is named', async () => {
    const { bytes } = await sealed(plain);
    const { header } = takenApart(bytes);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8((changed[at] ?? 0) ^ (1 << (at % 8)), at);
      const frame = Math.floor((at - header.length) / (FRAME + 21));
      const where = at < header.length ? /header/ : new RegExp(`frame ${frame}\\b`);
      await expect(opened(changed), `byte ${at}`).rejects.toMatchObject({ message: expect.stringMatching(where), nonRetryable: true });
    }
  });

  test('any byte changed to any other', async () => {
    const { bytes } = await sealed(plain);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
        const changed = Buffer.from(bytes);
        changed.writeUInt8((changed[at] ?? 0) ^ by, at);
        await expect(opened(changed)).rejects.toMatchObject({ message: expect.stringMatching(/header|frame \d/), nonRetryable: true });
      }),
      { numRuns: 500 },
    );
  });

  test('cut short anywhere', async () => {
    const { bytes } = await sealed(plain);
    const { header } = takenApart(bytes);
    for (let length = 0; length < bytes.length; length++) {
      const frame = Math.floor((length - header.length) / (FRAME + 21));
      const where = length < header.length ? /cut short in its header/ : new RegExp(`cut short.*frame ${frame}\\b`);
      await expect(opened(bytes.subarray(0, length)), `${length} bytes`).rejects.toMatchObject(damaged(where));
    }
  });

  test('cut at the border of a frame, although all that is left is authentic', async () => {
    for (const compression of ['none', 'zstd'] as const) {
      const { header, frames } = takenApart((await sealed(plain, { compression })).bytes);
      for (let kept = 0; kept < frames.length; kept++)
        await expect(opened(Buffer.concat([header, ...frames.slice(0, kept)]))).rejects.toMatchObject(
          damaged(new RegExp(`frame ${kept} is missing`)),
        );
    }
  });

  test('cut at the border of a frame, with the last one that is left marked as the last', async () => {
    const { header, frames } = takenApart((await sealed(plain)).bytes);
    const marked = Buffer.from(frames[1] ?? []);
    marked[0] = 1;
    await expect(opened(Buffer.concat([header, frames[0] ?? Buffer.alloc(0), marked]))).rejects.toMatchObject(
      damaged(/frame 1 does not open/),
    );
  });

  test('frames in any other order, left out or repeated', async () => {
    const { header, frames } = takenApart((await sealed(plain)).bytes);
    const all = frames.map((_, index) => index);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...all), { maxLength: 6 }), async (order) => {
        fc.pre(order.join() !== all.join());
        const first = order.findIndex((index, at) => index !== at);
        const wrong = first === -1 ? Math.min(order.length, all.length) : first;
        const bytes = Buffer.concat([header, ...order.map((index) => frames[index] ?? Buffer.alloc(0))]);
        const where = wrong === all.length ? /bytes follow frame 3/ : new RegExp(`frame ${wrong}\\b`);
        await expect(opened(bytes)).rejects.toMatchObject(damaged(where));
      }),
    );
  });

  test('a frame of another object, at its own place', async () => {
    const [one, two] = [takenApart((await sealed(plain)).bytes), takenApart((await sealed(plain)).bytes)];
    for (const at of one.frames.keys()) {
      const mixed = one.frames.map((frame, index) => (index === at ? (two.frames[index] ?? frame) : frame));
      await expect(opened(Buffer.concat([one.header, ...mixed]))).rejects.toMatchObject(damaged(new RegExp(`frame ${at} does not open`)));
    }
  });

  test('all frames under the header of another object', async () => {
    const [one, two] = [takenApart((await sealed(plain)).bytes), takenApart((await sealed(plain)).bytes)];
    await expect(opened(Buffer.concat([one.header, ...two.frames]))).rejects.toMatchObject(damaged(/frame 0 does not open/));
  });

  test('another object, intact, in the place of the one that the manifest names', async () => {
    const [one, two] = [await sealed(plain), await sealed(plain)];
    await expect(opened(two.bytes, { id: one.facts.id })).rejects.toMatchObject(
      damaged(/header names the identity [0-9a-f]{32}.*another object/),
    );
  });

  test('anything after the last frame', async () => {
    const { bytes } = await sealed(plain);
    for (const more of [Buffer.alloc(1), bytes, takenApart(bytes).frames[3] ?? bytes])
      await expect(opened(Buffer.concat([bytes, more]))).rejects.toMatchObject(damaged(/bytes follow frame 3, which is the last one/));
  });

  test('under another key-encryption key', async () => {
    const opening = openStream(inChunks((await sealed(plain)).bytes, 100), { name: 'shard-0', kekById: async () => randomBytes(32) });
    await expect(buffer(opening.bytes)).rejects.toMatchObject(damaged(/does not open with key 000001-0123456789abcdef/));
  });

  test('of a later version, with the word for what it is', async () => {
    const later = Buffer.from((await sealed(plain)).bytes.toString('latin1').replace('holdfast-sealed-1', 'holdfast-sealed-2'), 'latin1');
    await expect(opened(later)).rejects.toMatchObject({ type: 'FormatNotSupported', nonRetryable: true });
    await expect(opened(later)).rejects.toThrow('shard-0 is in the format holdfast-sealed-2');
  });

  test.each([
    ['an RDB file', Buffer.from('REDIS0011\xfa\x09redis-ver\n')],
    ['an XML error of a store', Buffer.from('<?xml version="1.0"?>\n<Error/>')],
    ['nothing but a line', Buffer.from('holdfast-sealed-1\n')],
    ['a line without end', Buffer.alloc(100_000, 'x')],
  ])('%s', async (_, bytes) => {
    await expect(opened(bytes)).rejects.toMatchObject(damaged(/header/));
  });

  test('and no byte of a frame comes out before the whole frame was found good', async () => {
    const { bytes } = await sealed(plain);
    const { header, frames } = takenApart(bytes);
    bytes.writeUInt8((bytes.at(-1) ?? 0) ^ 1, bytes.length - 1); // in the tag of the last one
    const seen: Buffer[] = [];
    const opening = openStream(inChunks(bytes, 1), { name: 'shard-0', kekById: async () => kek.key });
    const reading = (async () => {
      for await (const chunk of opening.bytes) seen.push(chunk);
    })();
    await expect(reading).rejects.toMatchObject(damaged(/frame 3/));
    expect(Buffer.concat(seen).equals(plain.subarray(0, 3 * FRAME))).toBe(true);
    expect(() => opening.facts()).toThrow('not read to its end');
    expect(header.length + frames.length * 21 + plain.length).toBe(bytes.length);
  });
});

describe('a stream that is sealed or opened', () => {
  test('takes no more from its source than a few frames ahead of its reader', async () => {
    const chunkBytes = 64 * 1024;
    for (const compression of ['none', 'zstd'] as const) {
      let given = 0;
      async function* source() {
        for (; given < 1000; given++) yield randomBytes(chunkBytes);
      }
      const reader = sealStream(source(), { kek, content: 'rdb', compression }).bytes[Symbol.asyncIterator]();
      for (let taken = 0; taken < 5; taken++) await reader.next(); // the header and four frames of 1 MiB
      await new Promise((resolve) => setTimeout(resolve, 100)); // a negative: nothing more comes, however long one waits
      expect(given * chunkBytes).toBeLessThan(8 * 1024 ** 2);
      await reader.return?.();
    }
  });

  test('passes on what its source throws', async () => {
    async function* source() {
      yield Buffer.alloc(100, 'x');
      throw new Error('the replica went away');
    }
    for (const compression of ['none', 'zstd'] as const) {
      const sealing = sealStream(source(), { kek, content: 'rdb', compression });
      await expect(buffer(sealing.bytes)).rejects.toThrow('the replica went away');
      expect(() => sealing.facts()).toThrow('not complete');
    }
    const opening = openStream(source(), { name: 'shard-0', kekById: async () => kek.key });
    await expect(buffer(opening.bytes)).rejects.toThrow('the replica went away');
  });

  test('leaves its source when its reader leaves', async () => {
    const { bytes } = await sealed(randomBytes(1_000_000), { frameBytes: 1000, compression: 'zstd' });
    let left = 0;
    async function* source(of: Uint8Array) {
      try {
        yield* inChunks(of, 1000);
      } finally {
        left += 1;
      }
    }
    for (const compression of ['none', 'zstd'] as const) {
      let chunks = 0;
      for await (const _ of sealStream(source(randomBytes(1_000_000)), { kek, content: 'rdb', compression, frameBytes: 1000 }).bytes)
        if (++chunks === 3) break;
    }
    for await (const _ of openStream(source(bytes), { name: 'shard-0', kekById: async () => kek.key }).bytes) break;
    await expect.poll(() => left).toBe(3);
  });
});
