import type { TimelineBegin } from '../../config/archive.ts';
import type { ShardBackup } from '../../config/backup.ts';
import type { SegmentName } from '../../config/names.ts';

/** One unbroken line of a shard's writes, as it lies in the bucket. */
export interface Timeline {
  readonly begin: TimelineBegin;
  /** The replication ids that its writes came under, in order; each holds from its offset on. The first is the base's. */
  readonly replids: readonly {
    readonly replid: string;
    readonly offset: number;
    /** Bytes that had been archived beyond, and that the failover dropped. */
    readonly dropped?: number;
  }[];
  /** Where the shard's slots changed, in order. */
  readonly slots: readonly SlotsAt[];
  /** Missing while it goes on. Writes that were archived beyond its offset were dropped by a failover: they are not part of it. */
  readonly end?: { readonly offset: number; readonly because: string };
  /** In any order; they may overlap, where two attempts archived at once or small ones were merged. */
  readonly segments: readonly SegmentName[];
}

/** The slots that a shard was seen to have. */
export interface SlotsAt {
  readonly slots: string;
  readonly offset: number;
  /** When, ms since 1970, by its primary's clock. */
  readonly ms: number;
  /** It was seen to be otherwise until then; missing where it was not looked at before. */
  readonly sinceMs?: number;
  /** Some are open: keys of them are on their way. */
  readonly open?: boolean;
}

/** A part of a segment that belongs to the timeline. */
export interface Piece extends SegmentName {
  /** The stretch of offsets to take of it. */
  readonly from: number;
  readonly to: number;
}

/** Data to begin with, of which the place in the stream is known. */
export interface Base {
  /** The backup that it is part of, or the timeline that begins at it. */
  readonly backup?: string;
  readonly timeline?: string;
  readonly data: ShardBackup;
}

/** Under which id a timeline's writes came from an offset on, and up to where. */
function reignAt({ replids, end }: Timeline, offset: number): { readonly stream: string; readonly to: number } | undefined {
  const at = replids.findLastIndex((reign) => reign.offset <= offset);
  const reign = replids[at];
  if (reign === undefined) return undefined;
  const to = Math.min(replids[at + 1]?.offset ?? Number.POSITIVE_INFINITY, end?.offset ?? Number.POSITIVE_INFINITY);
  return { stream: reign.replid.slice(0, 8), to };
}

/**
 * The pieces that carry on from an offset without a gap, as far as they reach, in order. Of segments that overlap the one that reaches furthest is taken; what came under an id that no
 * longer held is left out.
 */
export function piecesFrom(timeline: Timeline, offset: number): readonly Piece[] {
  const byStart = timeline.segments.toSorted((a, b) => a.startOffset - b.startOffset);
  /** Of those that begin where we are or before, the one that reaches furthest, under each id. */
  const furthest = new Map<string, SegmentName>();
  const pieces: Piece[] = [];
  for (let at = offset, next = 0; ; ) {
    for (let segment = byStart[next]; segment !== undefined && segment.startOffset <= at; segment = byStart[++next])
      if (segment.endOffset > (furthest.get(segment.stream)?.endOffset ?? 0)) furthest.set(segment.stream, segment);
    const reign = reignAt(timeline, at);
    if (reign === undefined || reign.to <= at) return pieces;
    const best = furthest.get(reign.stream);
    if (best === undefined || best.endOffset <= at) return pieces;
    const to = Math.min(best.endOffset, reign.to);
    pieces.push({ ...best, from: at, to });
    at = to;
  }
}

/**
 * Where a timeline ends, and its last piece. Not simply what follows from its base: old segments go when nobody needs them any more, and one that was lost must not make the archive begin
 * at the gap again.
 */
export function endOfTimeline(timeline: Timeline): { readonly offset: number; readonly last?: Piece } {
  const places = [...timeline.segments.map(({ startOffset }) => startOffset), ...timeline.replids.map(({ offset }) => offset)];
  const starts = [...new Set(places)].toSorted((a, b) => a - b);
  let from = timeline.begin.base.offset;
  let end: { readonly offset: number; readonly last?: Piece } = { offset: from };
  for (;;) {
    const last = piecesFrom(timeline, from).at(-1);
    if (last !== undefined) end = { offset: last.to, last };
    const after = Math.max(from, end.offset);
    const next = starts.find((start) => start > after);
    if (next === undefined) return end;
    from = next;
  }
}

/** Whether data lies on the timeline: the same stream, at an offset that it has. */
export function liesOn(timeline: Timeline, { replid, offset }: Pick<ShardBackup, 'replid' | 'offset'>): boolean {
  const at = timeline.replids.findIndex((reign) => reign.replid === replid);
  const reign = timeline.replids[at];
  if (reign === undefined || offset < reign.offset) return false;
  return offset <= Math.min(timeline.replids[at + 1]?.offset ?? Number.POSITIVE_INFINITY, timeline.end?.offset ?? Number.POSITIVE_INFINITY);
}

/** A stretch of time to every moment of which a shard can be brought back, by its server's clock; ms since 1970, both ends included. */
export interface Reach {
  readonly timeline: string;
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * From when a base can be used: when all that it holds had been written for certain. In the middle of a segment nobody knows the stamps without reading it, so its last one counts.
 * Undefined while nothing was archived after it.
 */
export function usableFromMs(base: Pick<ShardBackup, 'offset'>, pieces: readonly Piece[]): number | undefined {
  const [first] = pieces;
  if (first === undefined) return undefined;
  return first.startOffset === base.offset ? first.firstMs : first.lastMs;
}

/** A stretch of time, both ends included; ms since 1970. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * No moment further after a stamp is told by it. Where nothing said for longer what the time was, an archiver was away, or a shard had no primary: what was written then is there, and nobody
 * knows when in between.
 */
export const MOST_UNSTAMPED_MS = 2000;

/** The moments to which pieces bring a base, by their stamps. */
export function stampedSpans(base: Pick<ShardBackup, 'offset'>, pieces: readonly Piece[]): readonly Span[] {
  const fromMs = usableFromMs(base, pieces);
  if (fromMs === undefined) return [];
  const spans: Span[] = [];
  let span: Span = { fromMs, toMs: fromMs };
  for (const { firstMs, lastMs } of pieces) {
    if (firstMs - span.toMs > MOST_UNSTAMPED_MS) {
      spans.push(span);
      span = { fromMs: firstMs, toMs: firstMs };
    }
    span = { ...span, toMs: Math.max(span.toMs, lastMs) };
  }
  return [...spans, span];
}

/** The latest stamp of all; there may be hundreds of thousands of them. */
const lastOf = (pieces: readonly Piece[]): number => pieces.reduce((latest, { lastMs }) => Math.max(latest, lastMs), 0);

/** Where a timeline reaches, from these bases. Undefined while nothing of it can be brought back by time. */
export function reachOf(timeline: Timeline, bases: readonly Base[]): Reach | undefined {
  const reaches = bases
    .filter(({ data }) => liesOn(timeline, data))
    .flatMap(({ data }) => {
      const pieces = piecesFrom(timeline, data.offset);
      const fromMs = usableFromMs(data, pieces);
      return fromMs === undefined ? [] : [{ fromMs, toMs: lastOf(pieces) }];
    });
  if (reaches.length === 0) return undefined;
  // Bases are on one line: from the earliest one all later moments can be reached, or what follows it was removed and a later base begins anew.
  const toMs = Math.max(...reaches.map((reach) => reach.toMs));
  const whole = reaches.filter((reach) => reach.toMs === toMs);
  return { timeline: timeline.begin.id, fromMs: Math.min(...whole.map((reach) => reach.fromMs)), toMs };
}

/** What brings a shard back to a moment. */
export interface ShardRecovery {
  readonly shard: number;
  readonly timeline: string;
  readonly base: Base;
  /** To be read up to the last stamp at or before the moment. */
  readonly pieces: readonly Piece[];
}

/** The newest base before a moment and what was written from there to it. Undefined when the moment cannot be reached. */
export function recoverShard(
  shard: number,
  timelines: readonly Timeline[],
  bases: readonly Base[],
  atMs: number,
): ShardRecovery | undefined {
  for (const timeline of timelines.toSorted((a, b) => (a.begin.id < b.begin.id ? 1 : -1))) {
    const candidates = bases.filter(({ data }) => liesOn(timeline, data)).toSorted((a, b) => b.data.offset - a.data.offset);
    for (const base of candidates) {
      const pieces = piecesFrom(timeline, base.data.offset);
      if (!stampedSpans(base.data, pieces).some(({ fromMs, toMs }) => fromMs <= atMs && atMs <= toMs)) continue;
      const last = pieces.findIndex(({ firstMs }) => firstMs > atMs);
      return { shard, timeline: timeline.begin.id, base, pieces: last === -1 ? pieces : pieces.slice(0, last) };
    }
  }
  return undefined;
}
