import { CommandScanner, type Stamp, type StreamRange } from './command-scanner.ts';

/** A piece of a shard's writes: whole commands and whole transactions, in their order, with nothing missing between it and the one before. */
export interface Stretch extends StreamRange {
  /** The writes as the server sent them. Shorter than the range of offsets by what servers say among themselves; empty when there was nothing else. */
  readonly bytes: Buffer;
  /**
   * The database that is selected where it starts, and where it ends; undefined when nothing has told yet. Servers select one only when it changes: who
   * plays writes from here on must select it first, and who goes on after them gives it to `resumeAt`.
   */
  readonly startDb: number | undefined;
  readonly endDb: number | undefined;
  /** What was left out of `bytes`: it is needed to find an offset in them again. */
  readonly talk: readonly StreamRange[];
  /** Moments that stand in it. */
  readonly stamps: readonly Stamp[];
}

/**
 * How many of a stretch's bytes come before an offset: where to begin with a base that was taken in the middle of it.
 * @throws RangeError when it does not lie in this stretch
 */
export function bytesBefore(
  { startOffset, endOffset, talk }: Omit<Stretch, 'bytes' | 'startDb' | 'endDb' | 'stamps'>,
  offset: number,
): number {
  if (offset < startOffset || offset > endOffset) throw new RangeError(`offset ${offset} is not between ${startOffset} and ${endOffset}`);
  const left = talk.reduce((sum, range) => sum + Math.max(0, Math.min(range.endOffset, offset) - range.startOffset), 0);
  return offset - startOffset - left;
}

/** What has come of a stream and was not handed out yet: whole commands, and the beginning of one or of a transaction. */
export class StretchBuilder {
  /** When the first of what is whole came (`performance.now()`); undefined when nothing is. */
  sinceMs: number | undefined;
  wholeBytes = 0;
  openBytes = 0;
  readonly #scanner: CommandScanner;
  #whole: Buffer[] = [];
  #open: Buffer[] = [];
  #talk: StreamRange[] = [];
  #stamps: Stamp[] = [];
  #startOffset: number;
  #endOffset: number;
  #startDb: number | undefined;
  #endDb: number | undefined;

  constructor(offset: number, db: number | undefined) {
    this.#scanner = new CommandScanner(offset, db);
    this.#startOffset = offset;
    this.#endOffset = offset;
    this.#startDb = db;
    this.#endDb = db;
  }

  /** @returns whether the primary asks how much has arrived */
  add(chunk: Buffer): boolean {
    const { boundary, boundaryOffset, talk, stamps, db, getAck } = this.#scanner.scan(chunk);
    if (boundary === 0) {
      this.#open.push(chunk);
      this.openBytes += chunk.length;
      return getAck;
    }
    for (const part of this.#open) this.#whole.push(part);
    this.#whole.push(chunk.subarray(0, boundary));
    this.wholeBytes += this.openBytes + boundary;
    this.#open = boundary === chunk.length ? [] : [chunk.subarray(boundary)];
    this.openBytes = chunk.length - boundary;
    this.#talk.push(...talk);
    this.#stamps.push(...stamps);
    this.#endOffset = boundaryOffset;
    this.#endDb = db;
    this.sinceMs ??= performance.now();
    return getAck;
  }

  /** Hands out what is whole. */
  take(): Stretch {
    const stretch: Stretch = {
      bytes: without(Buffer.concat(this.#whole), this.#startOffset, this.#talk),
      startOffset: this.#startOffset,
      endOffset: this.#endOffset,
      startDb: this.#startDb,
      endDb: this.#endDb,
      talk: this.#talk,
      stamps: this.#stamps,
    };
    this.#whole = [];
    this.wholeBytes = 0;
    this.sinceMs = undefined;
    this.#talk = [];
    this.#stamps = [];
    this.#startOffset = this.#endOffset;
    this.#startDb = this.#endDb;
    return stretch;
  }
}

/** Bytes of a stream from `startOffset` on, but for these ranges. */
function without(bytes: Buffer, startOffset: number, ranges: readonly StreamRange[]): Buffer {
  if (ranges.length === 0) return bytes;
  const kept: Buffer[] = [];
  let at = 0;
  for (const range of ranges) {
    kept.push(bytes.subarray(at, range.startOffset - startOffset));
    at = range.endOffset - startOffset;
  }
  kept.push(bytes.subarray(at));
  return Buffer.concat(kept);
}
