import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createPieces, PIECE_BYTES, type Piece } from '../../activities/restore/pieces.ts';

const MAGIC = 'VALKEY080';
const HEAD = Buffer.concat([Buffer.from(MAGIC), Buffer.from([0xfe, 0x00])]);
const END = Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
const NOTHING = Buffer.alloc(0);

/** Sends that end when the test says so. */
function createPost() {
  const under: { readonly piece: Piece; readonly sent: Buffer; readonly end: (error?: Error) => Promise<void> }[] = [];
  const pieces: { readonly owner: number; readonly bytes: Buffer }[] = [];
  return {
    /** All that were ever sent, in order. */
    pieces,
    /** Those under way. */
    under,
    send(piece: Piece): Promise<void> {
      const sent = Buffer.from(piece.bytes);
      pieces.push({ owner: piece.owner, bytes: sent });
      return new Promise<void>((resolve, reject) => {
        const one = {
          piece,
          sent,
          async end(error?: Error) {
            under.splice(under.indexOf(one), 1);
            if (error === undefined) resolve();
            else reject(error);
            await settled();
          },
        };
        under.push(one);
      });
    },
  };
}
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
const keys = (text: string) => Buffer.from(text);
/** Tells, whenever it is asked, whether it has ended by then: well, or with which error. */
function watch(promise: Promise<void> | undefined): () => Promise<'open' | 'done' | Error> {
  let state: 'open' | 'done' | Error = 'open';
  Promise.resolve(promise).then(
    () => {
      state = 'done';
    },
    (error: Error) => {
      state = error;
    },
  );
  return () => settled().then(() => state);
}

describe('keys for several owners', () => {
  const ROOM = 24;
  const key = fc.record({
    owner: fc.integer({ min: 0, max: 4 }),
    bytes: fc.uint8Array({ minLength: 1, maxLength: ROOM }),
    rests: fc.boolean(),
  });

  test.each([
    ['RDBs', { magic: MAGIC }, HEAD, END],
    ['nothing but writes', {}, NOTHING, NOTHING],
  ])(
    'come in pieces that are %s, no longer than they may be, none lost and none twice, in their order, however long sends take',
    async (_, magic, head, end) => {
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), fc.array(key, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), async (sends, all, atOnce) => {
          const pieceBytes = ROOM + head.length + end.length;
          const got = new Map<number, Buffer[]>();
          let under = 0;
          const pieces = createPieces({
            ...magic,
            pieceBytes,
            atOnce,
            async send({ owner, bytes }) {
              const then = Buffer.from(bytes);
              expect(++under).toBeLessThanOrEqual(atOnce);
              expect(then.length).toBeLessThanOrEqual(pieceBytes);
              expect(then.subarray(0, head.length).equals(head)).toBe(true);
              expect(then.subarray(then.length - end.length).equals(end)).toBe(true);
              expect(then.length).toBeGreaterThan(head.length + end.length);
              got.set(owner, [...(got.get(owner) ?? []), then.subarray(head.length, then.length - end.length)]);
              await sends.schedule(Promise.resolve());
              expect(bytes.equals(then), 'nothing else was written there meanwhile').toBe(true);
              under--;
            },
          });
          for (const { owner, bytes, rests } of all) {
            const lent = Uint8Array.from(bytes);
            pieces.add(owner, lent);
            lent.fill(0xee);
            const rest = rests ? pieces.rest() : undefined;
            if (rest !== undefined) await sends.waitFor(rest);
          }
          await sends.waitFor(pieces.end());
          expect(under).toBe(0);
          for (let owner = 0; owner <= 4; owner++) {
            const own = Buffer.concat(all.filter((one) => one.owner === owner).map(({ bytes }) => bytes));
            expect(Buffer.concat(got.get(owner) ?? []).toString('hex')).toBe(own.toString('hex'));
          }
        }),
        { numRuns: 500 },
      );
    },
  );

  const filling = (atOnce: number) => {
    const post = createPost();
    const pieces = createPieces({ magic: MAGIC, pieceBytes: 4 + PIECE_BYTES, atOnce, send: post.send });
    return { post, pieces };
  };

  test('fill a piece to the last byte, and never share one', async () => {
    const { post, pieces } = filling(9);
    for (const text of ['aa', 'bb', 'c', 'dddd', 'e']) pieces.add(0, keys(text));
    pieces.add(1, keys('f'));
    for (let twice = 0; twice < 2; twice++) void pieces.end();
    const piece = (owner: number, text: string) => ({ owner, bytes: Buffer.concat([HEAD, keys(text), END]) });
    expect(post.pieces).toEqual([piece(0, 'aabb'), piece(0, 'c'), piece(0, 'dddd'), piece(0, 'e'), piece(1, 'f')]);
    expect(PIECE_BYTES).toBe(HEAD.length + END.length);
  });

  test('need no rest while pieces can be sent at once, and then until those that wait are under way', async () => {
    const { post, pieces } = filling(2);
    const add = (text: string) => pieces.add(0, keys(text));
    add('aaaa');
    expect(pieces.rest()).toBeUndefined();
    for (const text of ['bbbb', 'cccc']) add(text);
    expect(pieces.rest()).toBeUndefined();
    for (const text of ['dddd', 'eeee']) add(text);
    expect([post.pieces.length, post.under.length]).toEqual([2, 2]);
    const rest = watch(pieces.rest());
    expect(await rest()).toBe('open');
    await post.under[1]?.end();
    expect(await rest()).toBe('open');
    await post.under[0]?.end();
    expect(await rest()).toBe('done');
    expect(pieces.rest()).toBeUndefined();
    const end = watch(pieces.end());
    while (post.under.length > 0) {
      expect(await end()).toBe('open');
      await post.under[0]?.end();
    }
    expect(await end()).toBe('done');
    expect(post.pieces.map(({ bytes }) => bytes.toString('latin1', HEAD.length, HEAD.length + 1))).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('use the memory of a piece again when it was sent, and not before', async () => {
    const { post, pieces } = filling(2);
    const memories = new Set<ArrayBufferLike>();
    for (const text of ['aaaa', 'bbbb', 'cccc']) pieces.add(0, keys(text));
    for (const { piece } of post.under) memories.add(piece.bytes.buffer);
    expect(memories.size).toBe(2);
    for (let i = 0; i < 50; i++) {
      const [first] = post.under;
      expect(first?.piece.bytes.equals(first.sent)).toBe(true);
      await first?.end();
      pieces.add(0, keys('dddd'));
      for (const { piece, sent } of post.under) {
        memories.add(piece.bytes.buffer);
        expect(piece.bytes.equals(sent)).toBe(true);
      }
    }
    expect(post.pieces.length).toBeGreaterThan(50);
    expect(memories.size).toBeLessThanOrEqual(4);
  });

  test.each(['rest', 'end'] as const)('whose sending fails are told of by %s, with nothing sent afterwards', async (how) => {
    const { post, pieces } = filling(2);
    for (const text of ['aaaa', 'bbbb', 'cccc', 'dddd', 'eeee']) pieces.add(0, keys(text));
    const waits = watch(pieces[how]());
    expect(post.pieces.length).toBe(2);
    await post.under[0]?.end(new Error('the disk is full'));
    expect(await waits()).toMatchObject({ message: 'the disk is full' });
    await post.under[0]?.end(new Error('and another'));
    for (const text of ['ffff', 'gggg']) pieces.add(1, keys(text));
    await expect(pieces.rest()).rejects.toThrow('the disk is full');
    await expect(pieces.end()).rejects.toThrow('the disk is full');
    await pieces.close();
    expect(post.pieces.length).toBe(2);
  });

  test('that failed while nothing waits are told of, too', async () => {
    const { post, pieces } = filling(2);
    for (const text of ['aaaa', 'b']) pieces.add(0, keys(text));
    await post.under[0]?.end(new Error('the disk is full'));
    await expect(pieces.rest()).rejects.toThrow('the disk is full');
    const last = filling(2);
    last.pieces.add(0, keys('a'));
    const end = watch(last.pieces.end());
    await last.post.under[0]?.end(new Error('the disk is full'));
    expect(await end()).toMatchObject({ message: 'the disk is full' });
  });

  test('are not sent any more once they are given up, which lasts until what is under way has ended', async () => {
    const { post, pieces } = filling(2);
    for (const text of ['aaaa', 'bbbb', 'cccc', 'dddd']) pieces.add(0, keys(text));
    const closed = watch(pieces.close());
    expect(await closed()).toBe('open');
    await post.under[0]?.end();
    expect(await closed()).toBe('open');
    await post.under[0]?.end(new Error('too late'));
    expect(await closed()).toBe('done');
    pieces.add(0, keys('eeee'));
    expect([post.pieces.length, post.under.length]).toEqual([2, 0]);
    await expect(pieces.end()).rejects.toThrow('given up');
    expect(await watch(filling(1).pieces.close())(), 'with nothing under way').toBe('done');
  });
});
