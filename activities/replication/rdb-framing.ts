/**
 * Takes a full synchronization's payload out of what surrounds it: line feeds that keep the connection alive, then `$<length>` or
 * `$EOF:<mark of 40 bytes>`, the RDB, the mark again, and the stream of writes. Pieces may be cut anywhere.
 * The formats are those of `readSyncBulkPayload` in the servers' replication.c.
 */
export class RdbFraming {
  /** What followed the RDB, once it is complete: the beginning of the stream of writes. */
  rest: Buffer | undefined;
  #head: Buffer = NOTHING;
  /** Bytes that are still to come, when the server has told the length. */
  #left: number | undefined;
  #mark: Buffer | undefined;
  /** The last bytes of what came, which may be the beginning of the mark: never handed out before that is known. */
  #held: Buffer = NOTHING;

  /**
   * The parts of the RDB in these bytes. After `rest` is set nothing may be added.
   * @throws PayloadRefused when the server answers an error in place of an RDB
   */
  add(chunk: Buffer): readonly Buffer[] {
    if (this.#left !== undefined) return this.#byLength(chunk, this.#left);
    if (this.#mark !== undefined) return this.#byMark(chunk, this.#mark);
    const body = this.#announced(chunk);
    return body === undefined ? [] : this.add(body);
  }

  /** Reads the line that announces the payload; what follows it, or undefined while it is not all there. */
  #announced(chunk: Buffer): Buffer | undefined {
    let head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
    let start = 0;
    while (head[start] === LF) start++;
    head = head.subarray(start);
    const end = head.indexOf('\r\n');
    if (end < 0 && head.length <= LONGEST_LINE) {
      this.#head = Buffer.from(head);
      return undefined;
    }
    const line = head.toString('latin1', 0, Math.min(end < 0 ? LONGEST_LINE : end, LONGEST_LINE));
    const [, mark] = /^\$EOF:([ -~]{40})$/.exec(line) ?? [];
    const [, length] = /^\$(\d{1,15})$/.exec(line) ?? [];
    if (mark !== undefined) this.#mark = Buffer.from(mark, 'latin1');
    else if (length !== undefined) this.#left = Number(length);
    else throw new PayloadRefused(line);
    this.#head = NOTHING;
    return head.subarray(end + 2);
  }

  #byLength(chunk: Buffer, left: number): readonly Buffer[] {
    const part = chunk.subarray(0, left);
    this.#left = left - part.length;
    if (this.#left === 0) this.rest = chunk.subarray(part.length);
    return filled(part);
  }

  #byMark(chunk: Buffer, mark: Buffer): readonly Buffer[] {
    const held = this.#held;
    // The mark may begin in what is held; it cannot be all there, or it would have been found.
    const begun = held.length === 0 ? -1 : Buffer.concat([held, chunk.subarray(0, mark.length)]).indexOf(mark);
    if (begun >= 0) {
      this.rest = chunk.subarray(begun + mark.length - held.length);
      return filled(held.subarray(0, begun));
    }
    const found = chunk.indexOf(mark);
    if (found >= 0) {
      this.rest = chunk.subarray(found + mark.length);
      return filled(held, chunk.subarray(0, found));
    }
    const hold = mark.length - 1;
    if (chunk.length >= hold) {
      this.#held = Buffer.from(chunk.subarray(chunk.length - hold));
      return filled(held, chunk.subarray(0, chunk.length - hold));
    }
    const both = Buffer.concat([held, chunk]);
    const free = Math.max(0, both.length - hold);
    this.#held = both.subarray(free);
    return filled(both.subarray(0, free));
  }
}

/** What the server said in place of an RDB. */
export class PayloadRefused extends Error {}

const NOTHING = Buffer.alloc(0);
const LF = 10;
/** An announcement is 46 bytes at most; an error is a sentence. */
const LONGEST_LINE = 1024;

const filled = (...parts: readonly Buffer[]): readonly Buffer[] => parts.filter((part) => part.length > 0);
