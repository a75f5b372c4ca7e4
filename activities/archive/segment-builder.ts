import type { SegmentAbout } from '../../config/archive.ts';
import type { Stretch } from '../replication/stretch.ts';
import type { Segment } from './segment-uploads.ts';

/** Puts stretches together. */
export interface SegmentBuilder {
  add(stretch: Stretch): void;
  readonly bytes: number;
  /** The last stamp, ms since 1970. */
  readonly lastMs: number;
  /** When the first of it came; undefined when there is nothing. */
  readonly sinceMs: number | undefined;
  take(): Segment | undefined;
}

type Place = Pick<SegmentAbout, 'cluster' | 'shard' | 'timeline' | 'replid'>;

/**
 * @param afterMs the last stamp before. A stamp that is earlier than one before it counts for nothing: it came with a slot of another shard, or the clock was set back.
 * @param arrivedMs how long a stretch may have lain in the follower before it was handed out
 */
export function createSegmentBuilder(place: Place, afterMs: number, arrivedMs: number): SegmentBuilder {
  let parts: Stretch[] = [];
  let [bytes, lastMs] = [0, afterMs];
  let firstMs: number | undefined;
  let sinceMs: number | undefined;
  return {
    add(stretch) {
      sinceMs ??= Date.now() - arrivedMs;
      parts.push(stretch);
      bytes += stretch.bytes.length;
      for (const { timeMs } of stretch.stamps) {
        if (timeMs < lastMs) continue;
        firstMs ??= timeMs;
        lastMs = timeMs;
      }
    },
    get bytes() {
      return bytes;
    },
    get lastMs() {
      return lastMs;
    },
    get sinceMs() {
      return sinceMs;
    },
    take() {
      const [first, last] = [parts[0], parts.at(-1)];
      if (first === undefined || last === undefined || sinceMs === undefined) return undefined;
      const about: SegmentAbout = {
        ...place,
        startOffset: first.startOffset,
        endOffset: last.endOffset,
        firstMs: firstMs ?? lastMs,
        lastMs,
        ...(first.startDb === undefined ? {} : { startDb: first.startDb }),
        ...(last.endDb === undefined ? {} : { endDb: last.endDb }),
      };
      const segment: Segment = { about, bytes: parts.map((stretch) => stretch.bytes), sinceMs };
      [parts, bytes, firstMs, sinceMs] = [[], 0, undefined, undefined];
      return segment;
    },
  };
}
