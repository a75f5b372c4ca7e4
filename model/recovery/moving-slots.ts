import { MOST_UNSTAMPED_MS, type Span, type Timeline } from './archive.ts';

/**
 * When slots of a shard were on their way, as far as anybody can tell: from the last look that saw nothing of it to the first that saw it done, and until every shard has a stamp of after
 * that. Keys of such a slot are with one shard, with both, or with none of them when each is cut at its own stamp: a cluster cannot be put together there.
 */
export function movingSpans({ slots }: Pick<Timeline, 'slots'>): readonly Span[] {
  return slots.flatMap(({ sinceMs, ms, open }, at): readonly Span[] => {
    if (sinceMs === undefined && open !== true) return [];
    const next = slots[at + 1];
    const doneMs = open !== true ? ms : next === undefined ? Number.POSITIVE_INFINITY : Math.max(ms, next.sinceMs ?? next.ms);
    return [{ fromMs: (sinceMs ?? ms) + 1, toMs: doneMs + MOST_UNSTAMPED_MS }];
  });
}

export const isMoving = (timeline: Pick<Timeline, 'slots'>, ms: number): boolean =>
  movingSpans(timeline).some(({ fromMs, toMs }) => fromMs <= ms && ms <= toMs);
