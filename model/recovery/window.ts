import type { RecoveryGap, RecoverySpan, RecoveryWindow, ShardRecoveryWindow } from '../../config/archive.ts';
import { countSlots, parseRange, SLOTS } from '../slots.ts';
import { type Base, liesOn, piecesFrom, type Timeline, usableFromMs } from './archive.ts';

/** What there is of one shard to bring it back from. */
export interface ShardArchive {
  readonly shard: number;
  readonly timelines: readonly Timeline[];
  readonly bases: readonly Base[];
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The stretches of time to every moment of which a timeline leads from one of these bases, in order, apart from each other. */
export function spansOf(timeline: Timeline, bases: readonly Base[]): readonly Span[] {
  const reaches = bases
    .filter(({ data }) => liesOn(timeline, data))
    .flatMap(({ data }): readonly Span[] => {
      const pieces = piecesFrom(timeline, data.offset);
      const fromMs = usableFromMs(data, pieces);
      const toMs = pieces.at(-1)?.lastMs;
      return fromMs === undefined || toMs === undefined || toMs < fromMs ? [] : [{ fromMs, toMs }];
    });
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
const OVERLAP = 'the base of what follows was being stored';

/** Where one shard can be brought back to, and why not to the rest. */
export function shardWindow({ shard, timelines, bases }: ShardArchive): ShardRecoveryWindow {
  const inOrder = timelines.toSorted((a, b) => (a.begin.id < b.begin.id ? -1 : 1));
  const found = inOrder.flatMap((timeline) => spansOf(timeline, bases).map((span) => ({ ...span, timeline })));
  const gaps = found.flatMap((span, at): readonly RecoveryGap[] => {
    const next = found[at + 1];
    if (next === undefined || next.fromMs <= span.toMs) return [];
    const why = span.timeline === next.timeline ? LOST : (REASONS[span.timeline.end?.because ?? next.timeline.begin.because] ?? OVERLAP);
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

/** How many slots the shard had then, as far as was seen. Those of the timeline that holds the moment. */
function slotsAt({ timelines, bases }: ShardArchive, ms: number): number {
  const timeline = timelines.find((one) => spansOf(one, bases).some((span) => holds(span, ms)));
  const seen = timeline?.slots.findLast((slots) => slots.ms <= ms) ?? timeline?.slots[0];
  return seen === undefined || seen.slots === '' ? 0 : countSlots(seen.slots.split(',').map(parseRange));
}

/**
 * Where a cluster can be brought back to: to every moment at which all the shards that it had then can be, and had every slot once. While slots move there are moments at which nobody was seen to have
 * some of them.
 */
export function recoveryWindow(cluster: string, shards: readonly ShardArchive[]): RecoveryWindow {
  const windows = shards.map((archive) => ({
    archive,
    spans: union(archive.timelines.flatMap((timeline) => spansOf(timeline, archive.bases))),
  }));
  const changes = windows.flatMap(({ archive: { timelines }, spans }) => [
    ...spans.flatMap(({ fromMs, toMs }) => [fromMs, toMs, toMs + 1]),
    ...timelines.flatMap(({ begin, slots }) => [Date.parse(begin.began), ...slots.map(({ ms }) => ms)]).flatMap((ms) => [ms - 1, ms]),
  ]);
  const edges = [...new Set(changes)].toSorted((a, b) => a - b);
  const wholeAt = edges.map((ms) => {
    const there = windows.filter(({ archive, spans }) => spans.some((span) => holds(span, ms)) || !isAbsent(archive, ms));
    const slots = there.reduce((sum, { archive }) => sum + slotsAt(archive, ms), 0);
    return there.length > 0 && there.every(({ spans }) => spans.some((span) => holds(span, ms))) && (slots === SLOTS || slots === 0);
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
