import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutByTime } from '../../activities/replication/stream-time.ts';
import { bytesOf, cutInto, cuts, type Item, stamp, stream } from './replication-streams.ts';

/** Writes with the moment of each, which a stamp tells now and then; each stamp may be within a transaction or not. */
interface Written {
  readonly items: readonly Item[];
  readonly atMs: number;
}
const history: fc.Arbitrary<readonly Written[]> = fc
  .array(fc.record({ items: stream, afterMs: fc.nat({ max: 300 }), stamped: fc.boolean() }), { maxLength: 12 })
  .map((parts) => {
    let atMs = 1_700_000_000_000;
    return parts.map(({ items, afterMs, stamped }) => {
      atMs += afterMs;
      const others = items.filter(({ kind }) => kind !== 'stamp');
      return { items: stamped ? [...others, stamp('t', atMs)] : others, atMs };
    });
  });
const moment = fc.nat({ max: 3000 }).map((ms) => 1_700_000_000_000 + ms - 200);
const storedOf = (parts: readonly Written[]) =>
  bytesOf(parts.flatMap(({ items }) => items).filter(({ kind }) => kind !== 'talk' && kind !== 'getack'));

test('what is kept for a moment was written by then, and nothing that a stamp shows to be written by then is missing', () => {
  fc.assert(
    fc.property(history, moment, cuts, (parts, timeMs, at) => {
      const stretches = cutInto(storedOf(parts), at).map((bytes) => ({ bytes }));
      const last = parts.findLast((part) => part.atMs <= timeMs && part.items.at(-1)?.kind === 'stamp');
      const kept = last === undefined ? undefined : parts.slice(0, parts.indexOf(last) + 1);
      expect(cutByTime(stretches, timeMs)).toEqual(kept && { bytes: storedOf(kept).length, timeMs: last?.atMs });
    }),
    { numRuns: 500 },
  );
});

test('a later moment never keeps less', () => {
  const stamps = fc.array(fc.nat({ max: 1000 }), { maxLength: 20 }).map((times) => times.map((ms) => stamp('t', 1_700_000_000_000 + ms)));
  fc.assert(
    fc.property(stamps, fc.nat({ max: 1000 }), fc.nat({ max: 1000 }), (items, one, other) => {
      const kept = (ms: number) => cutByTime([{ bytes: bytesOf(items) }], 1_700_000_000_000 + ms)?.bytes ?? 0;
      expect(kept(Math.min(one, other))).toBeLessThanOrEqual(kept(Math.max(one, other)));
    }),
  );
});

test('a stamp that is earlier than one before it moves no cut', () => {
  const at = (ms: number) => stamp('t', 1_700_000_000_000 + ms);
  const items = [at(100), at(300), at(200), at(500)];
  const cut = (ms: number) => cutByTime([{ bytes: bytesOf(items) }], 1_700_000_000_000 + ms)?.bytes;
  const size = bytesOf([at(0)]).length;
  expect([cut(99), cut(100), cut(299), cut(300), cut(499), cut(500)]).toEqual([undefined, size, size, 2 * size, 2 * size, 4 * size]);
});
