import { CommandScanner } from './command-scanner.ts';

/** Where writes are cut so that everything before was written at a moment or before. */
export interface TimeCut {
  /** How many of the bytes come before the cut: whole commands and transactions. */
  readonly bytes: number;
  /** The last stamp before the cut: nothing before it was written later. */
  readonly timeMs: number;
}

/**
 * Finds where to cut stored writes for a moment in time. The bytes of stretches are added in their order, cut anywhere.
 *
 * The cut is right after the last stamp at or before the moment that has none after the moment before it; so what is kept is exactly what was written up
 * to that stamp, and what was written between it and the next is not. A stamp earlier than one before it counts for nothing: it came with a slot from
 * another shard, or the clock was set back, and what lies around it was written later than it says.
 */
export class TimeCutFinder {
  /** The first stamp after the moment; while it is undefined, later writes may still belong before the cut. */
  next: TimeCut | undefined;
  /** Where to cut as far as is known; undefined while there is no stamp at or before the moment. */
  last: TimeCut | undefined;
  readonly #timeMs: number;
  readonly #scanner = new CommandScanner(0);

  constructor(timeMs: number) {
    this.#timeMs = timeMs;
  }

  /** @returns whether the cut is found: what comes later changes nothing. @throws EngineRefused when these are no writes */
  add(bytes: Buffer): boolean {
    if (this.next !== undefined) return true;
    for (const { offset, timeMs } of this.#scanner.scan(bytes).stamps) {
      if (timeMs > this.#timeMs) {
        this.next = { bytes: offset, timeMs };
        return true;
      }
      if (timeMs >= (this.last?.timeMs ?? 0)) this.last = { bytes: offset, timeMs };
    }
    return false;
  }
}

/** Where to cut stretches for a moment: how many bytes of them all. Undefined when none of them says that it was written by then. */
export function cutByTime(stretches: Iterable<{ readonly bytes: Buffer }>, timeMs: number): TimeCut | undefined {
  const finder = new TimeCutFinder(timeMs);
  for (const { bytes } of stretches) if (finder.add(bytes)) break;
  return finder.last;
}
