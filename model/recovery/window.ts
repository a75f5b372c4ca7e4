import type { RecoveryGap, RecoverySpan, RecoveryWindow, ShardRecoveryWindow } from '../../config/archive.ts';
import { countSlots, parseRange, SLOTS } from '../slots.ts';
import { type Base, liesOn, piecesFrom, type Span, stampedSpans, type Timeline } from './archive.ts';
import { movingSpans } from './moving-slots.ts';

/** What there is of one shard to bring it back from. */
export interface ShardArchive {
  readonly shard: number;
  readonly timelines: readonly Timeline[];
  readonly bases: readonly Base[];
}

/** The stretches of time to every moment of which a timeline leads from one of these bases, in order, apart from each other. */
export function spansOf(timeline: Timeline, bases: readonly Base[]): readonly Span[] {
  const reaches = bases
    .filter(({ data }) => liesOn(timeline, data))
    .flatMap(({ data }) => stampedSpans(data, piecesFrom(timeline, data.offset)));
  return union(reaches);
}

function union(spans: readonly Span[]): readonly Span[] {
  const joined: Span[] = [];
  for (const span of spans.toSorted((a, b) => a.fromMs - b.fromMs)) {
    const last = joined.at(-1);
    if (last === undefined || span.fromMs > last.toMs) joined.push(span);
    else joined[joined.length - 1] = { fromMs: last.fromMs, toMs: Math.max(last.toMs, span.toMs) };
  }
  return joined;
}

const REASONS: Readonly<Record<string, string>> = {
  gap: 'the archive was away for longer than the server keeps writes (repl-backlog-size)',
  diverged: 'a failover dropped writes that were archived, and the new primary could not be followed from where it took over',
  'new-primary': 'the primary began another stream: it was started again, or its data came from elsewhere',
  'switched-off': 'the archive was switched off',
  removed: 'the shard, or the cluster, was removed',
};
const LOST = 'a part of the archive is missing in the bucket';
const UNSTAMPED =
  'nothing said what the time was: the archive was away, or the shard had no primary. What was written meanwhile is there at the first moment after it';
const OVERLAP = 'the base of what follows was being stored';

/** Whether the writes after a moment follow what was archived until then. */
const pieceAfter = (timeline: Timeline, bases: readonly Base[], ms: number): boolean =>
  bases.some(({ data }) => {
    const pieces = liesOn(timeline, data) ? piecesFrom(timeline, data.offset) : [];
    return pieces.some(({ lastMs }) => lastMs <= ms) && pieces.some(({ firstMs }) => firstMs > ms);
  });

/** Where one shard can be brought back to, and why not to the rest. */
export function shardWindow({ shard, timelines, bases }: ShardArchive): ShardRecoveryWindow {
  const inOrder = timelines.toSorted((a, b) => (a.begin.id < b.begin.id ? -1 : 1));
  const found = inOrder.flatMap((timeline) => spansOf(timeline, bases).map((span) => ({ ...span, timeline })));
  const gaps = found.flatMap((span, at): readonly RecoveryGap[] => {
    const next = found[at + 1];
    if (next === undefined || next.fromMs <= span.toMs) return [];
    const lost = pieceAfter(span.timeline, bases, span.toMs) ? UNSTAMPED : LOST;
    const why = span.timeline === next.timeline ? lost : (REASONS[span.timeline.end?.because ?? next.timeline.begin.because] ?? OVERLAP);
    return [{ from: iso(span.toMs), to: iso(next.fromMs), why }];
  });
  const [last, newest] = [found.at(-1), inOrder.at(-1)];
  const open: readonly RecoveryGap[] =
    newest?.end !== undefined && newest.end.because in REASONS
      ? [{ ...(last === undefined ? {} : { from: iso(last.toMs) }), why: REASONS[newest.end.because] ?? '' }]
      : [];
  const unusable = inOrder.filter((timeline) => timeline.segments.length > 0 && found.every((span) => span.timeline !== timeline));
  return {
    shard,
    spans: union(found).map(shown),
    gaps: [
      ...gaps,
      ...unusable.map(({ begin }) => ({ from: begin.began, why: `the timeline ${begin.id} has no base that its writes follow` })),
      ...open,
    ],
    dropped: inOrder.flatMap(({ replids }) =>
      replids.flatMap(({ offset, dropped = 0 }) => (dropped > 0 ? [{ offset, bytes: dropped }] : [])),
    ),
  };
}

/** Whether the cluster did not have the shard then: it joined later, or had left. */
export function isAbsent({ timelines }: ShardArchive, ms: number): boolean {
  const inOrder = timelines.toSorted((a, b) => (a.begin.id < b.begin.id ? -1 : 1));
  const [first, last] = [inOrder[0], inOrder.at(-1)];
  if (first === undefined || last === undefined) return true;
  const joined = first.begin.because === 'first' && Date.parse(first.begin.began) > ms;
  return joined || (last.end?.because === 'removed' && last.segments.every(({ lastMs }) => lastMs < ms));
}

/** Whether the shard was there, and had no slots: nobody wrote to it, and nothing of it is needed. */
export function isIdle({ timelines }: ShardArchive, ms: number): boolean {
  const seen = timelines.flatMap(({ slots }) => slots).filter((slots) => slots.ms <= ms);
  return seen.toSorted((a, b) => a.ms - b.ms).at(-1)?.slots === '';
}

/** Whether these are shards that share slots out. */
export const areSharded = (archives: readonly ShardArchive[]): boolean =>
  archives.some(({ timelines }) => timelines.some(({ slots }) => slots.some((seen) => seen.slots !== '')));

/**
 * Where a cluster can be brought back to: to every moment at which all the shards that it had then can be, and had every slot once. While slots move there are moments at which nobody can tell where
 * their keys were.
 */
export function recoveryWindow(cluster: string, shards: readonly ShardArchive[]): RecoveryWindow {
  const sharded = areSharded(shards);
  const windows = shards.map((archive) => {
    const lines = archive.timelines.map((timeline) => ({
      spans: spansOf(timeline, archive.bases),
      moving: movingSpans(timeline),
      /** How many slots it had from when on. */
      counts: timeline.slots.map(({ slots, ms }) => ({ ms, count: slots === '' ? 0 : countSlots(slots.split(',').map(parseRange)) })),
    }));
    return { archive, lines, spans: union(lines.flatMap((line) => line.spans)) };
  });
  const changes = windows.flatMap(({ archive: { timelines }, lines, spans }) => [
    ...spans.flatMap(({ fromMs, toMs }) => [fromMs, toMs, toMs + 1]),
    ...lines.flatMap(({ moving }) => moving).flatMap(({ fromMs, toMs }) => [fromMs - 1, fromMs, toMs, toMs + 1]),
    ...timelines.flatMap(({ begin, slots }) => [Date.parse(begin.began), ...slots.map(({ ms }) => ms)]).flatMap((ms) => [ms - 1, ms]),
  ]);
  const edges = [...new Set(changes)].filter(Number.isFinite).toSorted((a, b) => a - b);
  const wholeAt = edges.map((ms) => {
    const there = windows.flatMap(({ archive, lines }) => {
      const line = lines.find(({ spans }) => spans.some((span) => holds(span, ms)));
      return line !== undefined ? [line] : isAbsent(archive, ms) || (sharded && isIdle(archive, ms)) ? [] : [undefined];
    });
    let slots = 0;
    for (const line of there) {
      if (line === undefined || line.moving.some((span) => holds(span, ms))) return false;
      slots += (line.counts.findLast((seen) => seen.ms <= ms) ?? line.counts[0])?.count ?? 0;
    }
    return there.length > 0 && (slots === SLOTS || slots === 0);
  });
  const whole = edges.flatMap((fromMs, at): readonly Span[] =>
    wholeAt[at] === true ? [{ fromMs, toMs: wholeAt[at + 1] === true ? (edges[at + 1] ?? fromMs) : fromMs }] : [],
  );
  const spans = union(whole).map(shown);
  const [earliest, latest] = [spans[0]?.from, spans.at(-1)?.to];
  return {
    cluster,
    spans,
    ...(earliest === undefined ? {} : { earliest }),
    ...(latest === undefined ? {} : { latest }),
    shards: shards.map(shardWindow),
  };
}

const holds = ({ fromMs, toMs }: Span, ms: number): boolean => fromMs <= ms && ms <= toMs;
const iso = (ms: number): string => new Date(ms).toISOString();
const shown = ({ fromMs, toMs }: Span): RecoverySpan => ({ from: iso(fromMs), to: iso(toMs) });
