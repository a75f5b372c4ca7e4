import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { slotOfKey } from '../../activities/redis/key-slot.ts';
import { routeWrites, UnknownWrite } from '../../activities/restore/route-writes.ts';
import { command } from './replication-streams.ts';

const OWNERS = 3;
/** The last share of the slots is nobody's. */
const ownerOf = (slot: number): number | undefined => {
  const share = Math.floor((slot * (OWNERS + 1)) / 16_384);
  return share < OWNERS ? share : undefined;
};

/** What each owner gets; `all` for what is for all. */
async function routed(
  stream: Buffer,
  { chunks = [64 * 1024], largestBytes = 1_000_000 }: { chunks?: readonly number[]; largestBytes?: number } = {},
) {
  const got = Array.from({ length: OWNERS }, (): Buffer[] => []);
  let longest = 0;
  async function* source() {
    for (let at = 0, n = 0; at < stream.length; n++) {
      const size = chunks[n % chunks.length] ?? 1;
      yield Buffer.from(stream.subarray(at, at + size)); // its memory is its own: nothing of it may be kept
      at += size;
    }
  }
  await routeWrites(
    source(),
    {
      ownerOf,
      take(owner, bytes) {
        longest = Math.max(longest, bytes.length);
        got[owner]?.push(Buffer.from(bytes));
      },
      takeForAll(bytes) {
        for (const its of got) its.push(Buffer.from(bytes));
      },
      rest: () => undefined,
    },
    { largestBytes },
  );
  return { got: got.map((its) => Buffer.concat(its).toString('latin1')), longest };
}

interface Item {
  readonly bytes: Buffer;
  /** Who is to get it. */
  readonly to: number | 'all' | 'none';
}
const word = fc.oneof(
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom('', '\r\n', '*1\r\n$4\r\nEXEC\r\n', '$5\r\n', '#', '{a}b', '{}{a}', 'k'.repeat(300)).map((text) => Buffer.from(text)),
);
const written = (name: string, at: 1 | 2) =>
  fc.array(word, { minLength: at, maxLength: 5 }).map(
    (words): Item => ({
      bytes: command(name, ...words),
      to: ownerOf(slotOfKey(words[at - 1] ?? Buffer.alloc(0))) ?? 'none',
    }),
  );
const passing = (...words: readonly string[]) => fc.constant<Item>({ bytes: command(...words), to: 'none' });
const item: fc.Arbitrary<Item> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.constantFrom('SET', 'set', 'Del', 'XADD', 'RESTORE', 'ZREMRANGEBYSCORE', 'MSET').chain((name) => written(name, 1)),
  },
  { weight: 2, arbitrary: fc.constantFrom('BITOP', 'XGROUP', 'MSETEX').chain((name) => written(name, 2)) },
  passing('MULTI'),
  passing('EXEC'),
  passing('SELECT', '0'),
  passing('PUBLISH', 'channel', 'text'),
  fc.constantFrom('\r\n', '\n', '#------\r\n', '#\n').map((text): Item => ({ bytes: Buffer.from(text), to: 'none' })),
  fc.nat({ max: 16_383 }).map((slot): Item => ({ bytes: command('CLUSTER', 'FLUSHSLOT', String(slot)), to: ownerOf(slot) ?? 'none' })),
  fc.constant<Item>({ bytes: command('FUNCTION', 'LOAD', 'code'), to: 'all' }),
);

describe('a stream of writes that is taken apart', () => {
  test('gives every owner what is written to its slots, in its order, wherever it is cut', async () => {
    const chunks = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(item, { maxLength: 60 }),
        chunks,
        fc.integer({ min: 2000, max: 4000 }),
        async (items, sizes, largestBytes) => {
          const { got, longest } = await routed(Buffer.concat(items.map(({ bytes }) => bytes)), { chunks: sizes, largestBytes });
          for (let owner = 0; owner < OWNERS; owner++) {
            const own = items.filter(({ to }) => to === owner || to === 'all').map(({ bytes }) => bytes);
            expect(got[owner]).toBe(Buffer.concat(own).toString('latin1'));
          }
          expect(longest).toBeLessThanOrEqual(largestBytes);
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each([
    ['empties all', command('FLUSHALL')],
    ['empties all, among others', Buffer.concat([command('SET', 'a', 'b'), command('FLUSHDB', 'ASYNC'), command('SET', 'a', 'c')])],
    ['speaks of the cluster', command('CLUSTER', 'RESET')],
    ['swaps databases', command('SWAPDB', '0', '1')],
    ['is for another database', command('SELECT', '3')],
    ['is of a module', command('JSON.SET', 'a', '$', '1')],
    ['is a script', command('EVAL', 'return 1', '0')],
    ['is no command', Buffer.from('SET a b\r\n')],
    ['has a word without a length', Buffer.from('*2\r\n+SET\r\n$1\r\na\r\n')],
    ['has a length that is none', Buffer.from('*2\r\n$3x\r\nSET\r\n$1\r\na\r\n')],
  ])('is refused when it holds one that %s', async (_, stream) => {
    await expect(routed(stream)).rejects.toThrow(UnknownWrite);
    await expect(routed(stream, { chunks: [1] })).rejects.toThrow(UnknownWrite);
  });

  test('is refused when it ends in the middle of a command, wherever that is', async () => {
    const whole = command('SET', 'foo', 'value');
    for (let length = 1; length < whole.length; length++)
      await expect(routed(whole.subarray(0, length)), `${length} bytes`).rejects.toThrow(UnknownWrite);
    expect((await routed(whole)).got.join('')).toBe(whole.toString('latin1'));
  });

  test('is refused when a command is larger than may be held, before all of it has come', async () => {
    const large = command('SET', 'foo', 'v'.repeat(5000));
    expect((await routed(large, { chunks: [100], largestBytes: large.length })).got.join('')).toHaveLength(large.length);
    await expect(routed(large, { chunks: [100], largestBytes: large.length - 1 })).rejects.toThrow(/a command of more than/);
    const forAll = command('FUNCTION', 'LOAD', 'v'.repeat(5000));
    await expect(routed(forAll, { chunks: [9000], largestBytes: forAll.length - 1 })).rejects.toThrow(/a command of more than/);
    const endless = Buffer.concat([Buffer.from('*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$900000000\r\n'), Buffer.alloc(300_000, 'v')]);
    await expect(routed(endless, { chunks: [1000], largestBytes: 100_000 })).rejects.toThrow(/a command of more than/);
  });
});
