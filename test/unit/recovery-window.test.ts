import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Base, MOST_UNSTAMPED_MS, piecesFrom, recoverShard, type Timeline } from '../../model/recovery/archive.ts';
import { covered, type MergeRules, planMerges } from '../../model/recovery/merge-plan.ts';
import { recoverAll } from '../../model/recovery/moment.ts';
import { recoveryWindow, type ShardArchive, shardWindow, spansOf } from '../../model/recovery/window.ts';
import { base, segment, timeline } from './recovery-timelines.ts';

const iso = (ms: number) => new Date(ms).toISOString();
/** Ten bytes each, a stamp for each byte, ten ms apart. */
const tens = (from: number, count: number, startMs: number) =>
  Array.from({ length: count }, (_, at) =>
    segment(from + at * 10, from + at * 10 + 10, { firstMs: startMs + at * 100, lastMs: startMs + at * 100 + 90 }),
  );
const archive = (shard: number, timelines: readonly Timeline[], more: readonly Base[] = []): ShardArchive => ({
  shard,
  timelines,
  bases: [...timelines.map(({ begin }) => ({ data: begin.base })), ...more],
});

describe('the recovery window of a shard', () => {
  test('tells the gap between two timelines, and why', () => {
    const first = timeline({ segments: tens(0, 5, 1000), end: 50, because: 'gap' });
    const second = timeline({ id: '20261121T101700Z-00000000', segments: tens(0, 3, 9000), began: 8900, beganBecause: 'gap' });
    expect(shardWindow(archive(0, [second, first]))).toMatchObject({
      spans: [
        { from: iso(1000), to: iso(1490) },
        { from: iso(9000), to: iso(9290) },
      ],
      gaps: [{ from: iso(1490), to: iso(9000), why: expect.stringContaining('repl-backlog-size') }],
    });
  });

  test('tells a segment that is missing, and goes on from a backup behind it', () => {
    const line = timeline({ segments: tens(0, 9, 1000).toSpliced(4, 1) });
    expect(shardWindow(archive(0, [line])).spans).toEqual([{ from: iso(1000), to: iso(1390) }]);
    expect(shardWindow(archive(0, [line], [base(60, { backup: 'b' })]))).toMatchObject({
      spans: [
        { from: iso(1000), to: iso(1390) },
        { from: iso(1600), to: iso(1890) },
      ],
      gaps: [{ from: iso(1390), to: iso(1600), why: expect.stringContaining('missing in the bucket') }],
    });
  });

  test('tells that nothing is archived any more, and what a failover dropped', () => {
    const ended = timeline({ segments: tens(0, 5, 1000), end: 50, because: 'switched-off' });
    expect(shardWindow(archive(0, [ended])).gaps).toEqual([{ from: iso(1490), why: expect.stringContaining('switched off') }]);
    const line = timeline({ segments: tens(0, 5, 1000), takeovers: [30] });
    const dropped = { ...line, replids: line.replids.map((reign, at) => (at === 1 ? { ...reign, dropped: 20 } : reign)) };
    expect(shardWindow(archive(0, [dropped])).dropped).toEqual([{ offset: 30, bytes: 20 }]);
  });

  test('tells where nothing said what the time was, and takes no moment there', () => {
    const late = tens(50, 4, 1490 + MOST_UNSTAMPED_MS + 1);
    const line = timeline({ segments: [...tens(0, 5, 1000), ...late] });
    expect(shardWindow(archive(0, [line]))).toMatchObject({
      spans: [
        { from: iso(1000), to: iso(1490) },
        { from: iso(late[0]?.firstMs ?? 0), to: iso(late.at(-1)?.lastMs ?? 0) },
      ],
      gaps: [{ from: iso(1490), to: iso(late[0]?.firstMs ?? 0), why: expect.stringContaining('nothing said what the time was') }],
    });
    expect(recoverShard(0, [line], [base(0)], 2000)).toBeUndefined();
    expect(recoverAll('c', [archive(0, [line])], 2000)).toMatchObject({
      why: expect.stringContaining(`between ${iso(1490)} and ${iso(3491)} nothing said`),
    });
    expect(recoverShard(0, [line], [base(0)], 1490)).toBeDefined();
    const sooner = timeline({ segments: [...tens(0, 5, 1000), ...tens(50, 4, 1490 + MOST_UNSTAMPED_MS)] });
    expect(shardWindow(archive(0, [sooner]))).toMatchObject({ spans: [{}], gaps: [] });
  });

  test('has every moment that can be brought back, and no other', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 8 }), { maxLength: 3 }),
        fc.array(fc.nat({ max: 90 }), { maxLength: 3 }),
        fc.integer({ min: 900, max: 2000 }),
        (missing, offsets, ms) => {
          const line = timeline({ segments: tens(0, 9, 1000).filter((_, at) => !missing.includes(at)) });
          const bases = [base(0), ...offsets.map((offset) => base(offset, { backup: String(offset) }))];
          const inside = spansOf(line, bases).some(({ fromMs, toMs }) => fromMs <= ms && ms <= toMs);
          expect(recoverShard(0, [line], bases, ms) !== undefined).toBe(inside);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the recovery window of a cluster', () => {
  const half = (shard: number, startMs: number, count: number, more: Partial<Parameters<typeof timeline>[0]> = {}) =>
    timeline({ shard, slots: shard === 0 ? '0-8191' : '8192-16383', segments: tens(0, count, startMs), began: startMs - 50, ...more });

  test('is what all its shards have', () => {
    const window = recoveryWindow('c', [archive(0, [half(0, 1000, 9)]), archive(1, [half(1, 1200, 4)])]);
    expect(window).toMatchObject({ earliest: iso(1200), latest: iso(1590), spans: [{ from: iso(1200), to: iso(1590) }] });
  });

  test('asks nothing of a shard that was not there yet, or not any more, and takes no moment at which slots were on their way', () => {
    const growing = half(0, 1000, 9, { slots: '0-16383' });
    const shrunk: Timeline = { ...growing, slots: [...growing.slots, { slots: '0-8191', offset: 40, ms: 1450 }] };
    const joined = half(1, 1300, 6, { slots: '' });
    const grown: Timeline = { ...joined, slots: [...joined.slots, { slots: '8192-16383', offset: 30, ms: 1500 }] };
    expect(recoveryWindow('c', [archive(0, [shrunk]), archive(1, [grown])]).spans).toEqual([
      { from: iso(1000), to: iso(1449) },
      { from: iso(1500), to: iso(1890) },
    ]);
    const left = half(1, 1000, 4, { end: 40, because: 'removed' });
    const all: Timeline = {
      ...half(0, 1000, 9),
      slots: [
        { slots: '0-8191', offset: 0, ms: 950 },
        { slots: '0-16383', offset: 40, ms: 1395 },
      ],
    };
    expect(recoveryWindow('c', [archive(0, [all]), archive(1, [left])]).spans).toEqual([
      { from: iso(1000), to: iso(1390) },
      { from: iso(1395), to: iso(1890) },
    ]);
  });

  test('begins and ends where two looks at the slots leave no doubt, and a message names the nearest moments', () => {
    const moved = (shard: number, slots: string, startedMs: number): Timeline => {
      const before = half(shard, 1000, 90);
      const [first] = before.slots;
      if (first === undefined) throw new Error('it began with slots');
      return {
        ...before,
        slots: [
          first,
          { ...first, offset: 300, sinceMs: startedMs, ms: startedMs + 100, open: true },
          { slots, offset: 400, sinceMs: startedMs + 700, ms: startedMs + 800, open: false },
        ],
      };
    };
    const both = [archive(0, [moved(0, '0-8000', 4000)]), archive(1, [moved(1, '8001-16383', 3900)])];
    const spans = [
      { from: iso(1000), to: iso(3900) },
      { from: iso(4800 + MOST_UNSTAMPED_MS + 1), to: iso(9990) },
    ];
    expect(recoveryWindow('c', both).spans).toEqual(spans);
    for (const ms of [3901, 4500, 4800, 6500]) {
      const found = recoverAll('c', both, ms);
      expect('why' in found ? found.why : '').toContain(
        `The nearest moments are ${spans[0]?.to} before it, and ${spans[1]?.from} after it`,
      );
    }
    const at = (ms: number) => {
      const found = recoverAll('c', both, ms);
      return 'shards' in found ? found.shards.map(({ slots }) => slots) : found.why;
    };
    expect(at(3900)).toEqual(['0-8191', '8192-16383']);
    expect(at(6801)).toEqual(['0-8000', '8001-16383']);
    const open = moved(0, '0-8000', 4000);
    expect(recoveryWindow('c', [archive(0, [{ ...open, slots: open.slots.slice(0, 2) }]), archive(1, [half(1, 1000, 90)])]).spans).toEqual([
      { from: iso(1000), to: iso(4000) },
    ]);
  });

  test('offers what it takes, also where a base was made in between and nobody wrote: losing slots is no byte in the stream', () => {
    const changed = (shard: number, slots: string): ShardArchive => {
      const before = half(shard, 1000, 9);
      const [first] = before.slots;
      if (first === undefined) throw new Error('it began with slots');
      const line: Timeline = { ...before, slots: [first, { ...first, slots, offset: 40, ms: 1400 }] };
      return archive(shard, [line], shard === 0 ? [base(40, { backup: 'b', slots: first.slots })] : []);
    };
    const both = [changed(0, '0-8000'), changed(1, '8001-16383')];
    const { spans } = recoveryWindow('c', both);
    expect(spans.at(-1)?.to).toBe(iso(1890));
    for (const ms of spans.flatMap(({ from, to }) => [Date.parse(from), Date.parse(to)]))
      expect(recoverAll('c', both, ms)).toHaveProperty('shards');
  });

  test('needs nothing of a shard that has no slots, however long nobody wrote to it', () => {
    const idle = half(2, 1000, 1, { slots: '' });
    const all = [archive(0, [half(0, 1000, 9)]), archive(1, [half(1, 1000, 9)]), archive(2, [idle])];
    expect(recoveryWindow('c', all).latest).toBe(iso(1890));
    const found = recoverAll('c', all, 1800);
    expect('shards' in found ? found.shards.map(({ shard, pieces }) => [shard, pieces.length > 0]) : found.why).toEqual([
      [0, true],
      [1, true],
      [2, false],
    ]);
  });

  test('asks nothing of a shard without slots that the last backup was made of while nothing was archived', () => {
    const idle = half(2, 1000, 1, { slots: '' });
    const { data } = base(0, { id: 7, slots: '' });
    const beside: Base = { backup: 'b', data: { ...data, startedAt: iso(1700) } };
    const all = [archive(0, [half(0, 1000, 9)]), archive(1, [half(1, 1000, 9)]), archive(2, [idle], [beside])];
    expect(recoveryWindow('c', all).latest).toBe(iso(1890));
    const found = recoverAll('c', all, 1800);
    expect('shards' in found ? found.shards[2]?.timeline : found.why).toBe(idle.begin.id);
  });

  test('of a cluster of which nothing was archived is empty', () => {
    expect(recoveryWindow('c', [])).toEqual({ cluster: 'c', spans: [], shards: [] });
  });
});

describe('merging', () => {
  const rules: MergeRules = { nowMs: 100_000, olderThanMs: 1000, mostBytes: 100, mostMs: 2000, least: 2 };
  const cuts = fc.array(fc.tuple(fc.nat({ max: 400 }), fc.integer({ min: 1, max: 60 }), fc.nat({ max: 1 })), { maxLength: 60 });

  test('loses no byte, reads what was small once, and comes to an end', () => {
    fc.assert(
      fc.property(cuts, fc.boolean(), (all, failedOver) => {
        const takeovers = failedOver ? [200] : [];
        let line = timeline({
          takeovers,
          segments: all.map(([start, length, id]) =>
            segment(start, start + length, { id: Math.min(id, takeovers.length), firstMs: start * 10, lastMs: (start + length) * 10 - 1 }),
          ),
        });
        const bytes = (of: Timeline) => {
          const read = new Set<number>();
          for (let from = 0; from <= 460; from++)
            for (const { from: a, to } of piecesFrom(of, from).slice(0, 1)) for (let at = a; at < to; at++) read.add(at);
          return [...read].toSorted((a, b) => a - b);
        };
        const before = bytes(line);
        for (let round = 0; ; round++) {
          expect(round).toBeLessThan(20);
          const gone = new Set(covered(line, rules));
          line = { ...line, segments: line.segments.filter((one) => !gone.has(one)) };
          expect(bytes(line)).toEqual(before);
          const merges = planMerges(line, rules);
          if (merges.length === 0) break;
          for (const merge of merges) {
            const [first, last] = [merge[0], merge.at(-1)];
            if (first === undefined || last === undefined) throw new Error('an empty merge');
            merge.forEach((one, at) => {
              if (at > 0) expect(one.startOffset).toBe(merge[at - 1]?.endOffset);
              expect(one.stream).toBe(first.stream);
            });
            expect(last.endOffset - first.startOffset).toBeLessThanOrEqual(rules.mostBytes);
            line = { ...line, segments: [...line.segments, { ...first, endOffset: last.endOffset, lastMs: last.lastMs }] };
          }
          expect(bytes(line)).toEqual(before);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('leaves alone what is young, what is large, and what does not follow on', () => {
    const of = (...segments: Parameters<typeof segment>[]) =>
      planMerges(timeline({ segments: segments.map((one) => segment(...one)) }), rules);
    expect(of([0, 10], [10, 20])).toHaveLength(1);
    expect(of([0, 10, { lastMs: 99_500 }], [10, 20, { lastMs: 99_600 }])).toEqual([]);
    expect(of([0, 60], [60, 120])).toEqual([]);
    expect(of([0, 10], [11, 20])).toEqual([]);
    expect(of([0, 10, { lastMs: 1000 }], [10, 20, { firstMs: 1000 + MOST_UNSTAMPED_MS, lastMs: 1000 + MOST_UNSTAMPED_MS }])).toEqual([]);
  });
});
