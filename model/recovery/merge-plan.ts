import type { SegmentName } from '../../config/names.ts';
import { MOST_UNSTAMPED_MS, piecesFrom, type Timeline } from './archive.ts';

/** Segments that follow each other, to be put together into one that has all their writes. */
export type Merge = readonly SegmentName[];

export interface MergeRules {
  readonly nowMs: number;
  /** Younger ones are left alone: attempts may still be at them. */
  readonly olderThanMs: number;
  readonly mostBytes: number;
  /** Stretch of time in one, at most: what a restore reads to find a moment. */
  readonly mostMs: number;
  /** As many as this at least, or it is not worth the work. */
  readonly least: number;
}

/**
 * What to put together of a timeline: runs of small segments of one stream that follow each other, as the archive is read. What was put together once is put together again while it is small.
 */
export function planMerges(timeline: Timeline, rules: MergeRules): readonly Merge[] {
  const merges: Merge[] = [];
  let run: SegmentName[] = [];
  const close = () => {
    if (run.length >= rules.least) merges.push(run);
    run = [];
  };
  for (const start of chainStarts(timeline)) {
    for (const { from, to, ...segment } of piecesFrom(timeline, start)) {
      const whole = from === segment.startOffset && to === segment.endOffset;
      if (!whole || !isSmall(segment, rules)) close();
      else {
        if (!fits(run, segment, rules)) close();
        run.push(segment);
      }
    }
    close();
  }
  return merges;
}

const isSmall = ({ startOffset, endOffset, firstMs, lastMs }: SegmentName, rules: MergeRules): boolean =>
  lastMs <= rules.nowMs - rules.olderThanMs && endOffset - startOffset < rules.mostBytes / 2 && lastMs - firstMs < rules.mostMs / 2;

function fits(run: Merge, next: SegmentName, rules: MergeRules): boolean {
  const [first, last] = [run[0], run.at(-1)];
  return (
    first === undefined ||
    (last?.endOffset === next.startOffset &&
      last.stream === next.stream &&
      // Their names tell that nothing was stamped in between.
      next.firstMs - last.lastMs <= MOST_UNSTAMPED_MS &&
      next.endOffset - first.startOffset <= rules.mostBytes &&
      next.lastMs - first.firstMs <= rules.mostMs)
  );
}

/** Where reading begins, and where it begins again after something is missing. */
function chainStarts(timeline: Timeline): readonly number[] {
  const all = [...new Set(timeline.segments.map(({ startOffset }) => startOffset))].toSorted((a, b) => a - b);
  const starts: number[] = [];
  let reached = Number.NEGATIVE_INFINITY;
  for (const start of all) {
    if (start < reached || (start === reached && starts.length > 0)) continue;
    const last = piecesFrom(timeline, start).at(-1);
    if (last === undefined) continue;
    starts.push(start);
    reached = last.to;
  }
  return starts;
}

/**
 * Segments that nobody needs to read: all their offsets are in a single other one of the same stream. What was left when a merge died in the middle, and what two attempts stored twice.
 */
export function covered(timeline: Timeline, rules: Pick<MergeRules, 'nowMs' | 'olderThanMs'>): readonly SegmentName[] {
  const old = timeline.segments.filter(({ lastMs }) => lastMs <= rules.nowMs - rules.olderThanMs);
  const gone: SegmentName[] = [];
  for (const stream of Map.groupBy(old, (segment) => segment.stream).values()) {
    let widest: SegmentName | undefined;
    for (const segment of stream.toSorted((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset)) {
      if (widest !== undefined && segment.endOffset <= widest.endOffset) gone.push(segment);
      else widest = segment;
    }
  }
  return gone;
}
