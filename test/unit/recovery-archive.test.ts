import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SegmentName } from '../../config/names.ts';
import {
  type Base,
  endOfTimeline,
  liesOn,
  piecesFrom,
  reachOf,
  recoverShard,
  type Timeline,
  usableFromMs,
} from '../../model/recovery/archive.ts';
import { base, segment, timeline } from './recovery-timelines.ts';

/** Bytes of a stream: those before a failover came under one id, those after it under the next. A former primary may have written on. */
interface History {
  readonly timeline: Timeline;
  /** Offsets at which another id took over, in order. */
  readonly takeovers: readonly number[];
  /** Offsets that are stored under the id that held. */
  readonly stored: ReadonlySet<number>;
}

const END = 60;
const history: fc.Arbitrary<History> = fc
  .record({
    takeovers: fc.uniqueArray(fc.integer({ min: 1, max: END }), { maxLength: 3 }).map((all) => all.toSorted((a, b) => a - b)),
    cuts: fc.array(fc.tuple(fc.nat({ max: END - 1 }), fc.integer({ min: 1, max: 25 }), fc.nat({ max: 3 })), { maxLength: 40 }),
    end: fc.option(fc.integer({ min: 0, max: END }), { nil: undefined }),
  })
  .map(({ takeovers, cuts, end }) => {
    const segments = cuts.map(([start, length, id]) =>
      segment(start, Math.min(END, start + length), { id: Math.min(id, takeovers.length) }),
    );
    const stored = new Set<number>();
    for (const { startOffset, endOffset, stream } of segments)
      for (let at = startOffset; at < endOffset; at++) {
        const holds = takeovers.filter((one) => one <= at).length;
        if (Number.parseInt(stream, 16) === holds && at < (end ?? END)) stored.add(at);
      }
    return { timeline: timeline({ takeovers, segments, ...(end === undefined ? {} : { end }) }), takeovers, stored };
  });

describe('the pieces from an offset', () => {
  test('follow each other, reach as far as there is no gap, and hold nothing of an id that no longer held', () => {
    fc.assert(
      fc.property(history, fc.nat({ max: END }), ({ timeline: line, takeovers, stored }, from) => {
        const pieces = piecesFrom(line, from);
        let at = from;
        for (const piece of pieces) {
          expect(piece.from).toBe(at);
          expect(piece.to).toBeGreaterThan(at);
          expect(piece.startOffset).toBeLessThanOrEqual(piece.from);
          expect(piece.endOffset).toBeGreaterThanOrEqual(piece.to);
          const id = Number.parseInt(piece.stream, 16);
          expect(takeovers.filter((one) => one <= piece.from).length).toBe(id);
          expect(takeovers.filter((one) => one < piece.to).length).toBe(id);
          at = piece.to;
        }
        for (let byte = from; byte < at; byte++) expect(stored).toContain(byte);
        expect(stored.has(at)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  test('do not depend on the order in which segments are listed', () => {
    fc.assert(
      fc.property(history, fc.nat({ max: END }), ({ timeline: line }, from) => {
        const ends = (segments: readonly SegmentName[]) => piecesFrom({ ...line, segments }, from).map(({ from: a, to }) => [a, to]);
        expect(ends(line.segments.toReversed())).toEqual(ends(line.segments));
      }),
    );
  });

  test('of segments that overlap are those that reach furthest', () => {
    const line = timeline({ segments: [segment(0, 10), segment(0, 4), segment(4, 12), segment(9, 11), segment(12, 20)] });
    expect(piecesFrom(line, 0).map(({ from, to }) => [from, to])).toEqual([
      [0, 10],
      [10, 12],
      [12, 20],
    ]);
    expect(piecesFrom(line, 5).map(({ from, to }) => [from, to])).toEqual([
      [5, 12],
      [12, 20],
    ]);
  });

  test('leave out what a former primary wrote after another one had taken over', () => {
    const line = timeline({ takeovers: [10], segments: [segment(0, 14), segment(14, 30), segment(10, 18, { id: 1 })] });
    expect(piecesFrom(line, 0).map(({ from, to, stream }) => [from, to, stream])).toEqual([
      [0, 10, '00000000'],
      [10, 18, '00000001'],
    ]);
  });

  test('end where the timeline does', () => {
    const line = timeline({ segments: [segment(0, 10), segment(10, 20)], end: 15 });
    expect(piecesFrom(line, 0).at(-1)).toMatchObject({ from: 10, to: 15 });
    expect(piecesFrom(line, 15)).toEqual([]);
  });

  test('are found in a moment among a hundred thousand', () => {
    const segments = Array.from({ length: 100_000 }, (_, at) => segment(at * 10, at * 10 + 10));
    expect(piecesFrom(timeline({ segments }), 0).at(-1)?.to).toBe(1_000_000);
  });
});

describe('the end of a timeline', () => {
  test('is the end of the last stretch that is there, also when what came before has gone', () => {
    fc.assert(
      fc.property(history, ({ timeline: line, stored }) => {
        const { offset, last } = endOfTimeline(line);
        expect(offset).toBe(stored.size === 0 ? 0 : Math.max(...stored) + 1);
        expect(last?.to ?? 0).toBe(offset);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a base', () => {
  test('lies on a timeline when its id held at its offset', () => {
    const line = timeline({ takeovers: [10, 20], segments: [], end: 25 });
    const on = (id: number, offset: number) => liesOn(line, base(offset, { id }).data);
    expect([on(0, 0), on(0, 10), on(0, 11), on(1, 9), on(1, 10), on(1, 20), on(2, 25), on(2, 26), on(3, 10)]).toEqual([
      true,
      true,
      false,
      false,
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test('can be used from the first stamp after it, or in the middle of a segment from that segment’s last', () => {
    const line = timeline({ segments: [segment(0, 10, { firstMs: 100, lastMs: 190 }), segment(10, 20, { firstMs: 200, lastMs: 290 })] });
    const from = (offset: number) => usableFromMs(base(offset).data, piecesFrom(line, offset));
    expect([from(0), from(5), from(10), from(20)]).toEqual([100, 190, 200, undefined]);
  });
});

describe('what brings a shard back', () => {
  const stamped = (at: number) => ({ firstMs: 1000 + at * 10, lastMs: 1000 + (at + 9) * 10 });
  const tens = (count: number) => Array.from({ length: count }, (_, at) => segment(at * 10, at * 10 + 10, stamped(at * 10)));

  test('is the newest base before the moment, and the pieces up to it', () => {
    const line = timeline({ segments: tens(5) });
    const bases: readonly Base[] = [base(0), base(20, { backup: 'b' })];
    expect(recoverShard(0, [line], bases, 1250)).toMatchObject({ base: { backup: 'b' }, pieces: [{ from: 20, to: 30 }] });
    expect(recoverShard(0, [line], bases, 1150)?.base.backup).toBeUndefined();
    expect(recoverShard(0, [line], bases, 999)).toBeUndefined();
    expect(recoverShard(0, [line], bases, 1491)).toBeUndefined();
  });

  test('exists for every moment that the timeline reaches, and for none outside of it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.nat({ max: 60 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 900, max: 1700 }),
        (count, offsets, ms) => {
          const line = timeline({ segments: tens(count) });
          const bases = offsets.map((offset) => base(offset));
          const reach = reachOf(line, bases);
          const found = recoverShard(0, [line], bases, ms);
          expect(found !== undefined).toBe(reach !== undefined && reach.fromMs <= ms && ms <= reach.toMs);
          if (found === undefined) return;
          // All that was stamped at the moment or before is in it.
          const last = line.segments.findLast(({ firstMs }) => firstMs <= ms);
          expect(found.pieces.at(-1)?.to).toBe(last?.endOffset);
        },
      ),
      { numRuns: 500 },
    );
  });
});
