import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import { CommandScanner, LONGEST_HEADER, type Stamp, type StreamRange } from './command-scanner.ts';

/**
 * A piece of a shard's writes: whole commands and whole transactions, in their order, with nothing missing between it and the one before.
 */
export interface Stretch extends StreamRange {
  /**
   * The writes as the server sent them, as long as the range of offsets: so an offset is found in them by counting. In the place of what servers
   * say among themselves, which must not be run again, stand remarks of the same length, as an AOF may have them.
   */
  readonly bytes: Buffer;
  /**
   * The database that is selected where it starts, and where it ends; undefined when nothing has told yet. Servers select one only when it
   * changes: who plays writes from here on must select it first, and who goes on after them gives it to `resumeAt`.
   */
  readonly startDb: number | undefined;
  readonly endDb: number | undefined;
  /** Moments that stand in it. */
  readonly stamps: readonly Stamp[];
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
      bytes: remarked(Buffer.concat(this.#whole), this.#startOffset, this.#talk),
      startOffset: this.#startOffset,
      endOffset: this.#endOffset,
      startDb: this.#startDb,
      endDb: this.#endDb,
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

const [HASH, DOT, LF] = [35, 46, 10];

/**
 * Writes remarks over these ranges: short lines, for none may be longer than a header is for the scanner, and each has two bytes at least.
 * @throws EngineRefused for a range of one byte: no server sends a single line feed into a stream that is under way
 */
function remarked(bytes: Buffer, startOffset: number, ranges: readonly StreamRange[]): Buffer {
  for (const range of ranges) {
    const end = range.endOffset - startOffset;
    for (let at = range.startOffset - startOffset; at < end; ) {
      const left = end - at;
      if (left < 2)
        throw fatal(
          failures.engineRefused,
          `a single byte at offset ${range.startOffset} is no command: is something between the server and here?`,
        );
      const length = left <= LONGEST_HEADER ? left : Math.min(LONGEST_HEADER, left - 2);
      bytes.fill(DOT, at, at + length);
      bytes[at] = HASH;
      at += length;
      bytes[at - 1] = LF;
    }
  }
  return bytes;
}
