/** The bytes of an RDB cannot be taken apart: they hold something that this version does not know. */
export class UnknownRdb extends Error {}

/** A length field with its first byte. */
const LONGEST_LENGTH = 9;
/** The head of a compressed string: a mark, and two lengths. */
const LONGEST_HEAD = 1 + 2 * LONGEST_LENGTH;

const [INT8, INT16, INT32, LZF] = [0xc0, 0xc1, 0xc2, 0xc3];

/**
 * A place in an RDB that goes by, and the part of it that is held. Its methods step over fields, and say false, having done nothing, when too little of one is here; `at` may come to stand behind what is here.
 * The format is that of the servers' rdb.c.
 */
export class RdbCursor {
  /** What is held: `held[0]` to `held[end - 1]`. */
  held: Buffer = Buffer.allocUnsafe(256 * 1024);
  end = 0;
  at = 0;
  /** Where in the whole `held[0]` stands. */
  base = 0;
  /** Nothing comes any more. */
  ended = false;
  /** The length that was read last. */
  length = 0;

  /** Whether so many bytes are here; or all that there are. */
  has(bytes: number): boolean {
    return this.end - this.at >= bytes || (this.ended && this.at < this.end);
  }

  stepLength(): boolean {
    if (!this.has(LONGEST_LENGTH)) return false;
    this.at = this.#lengthAt(this.at);
    return true;
  }

  stepString(): boolean {
    if (!this.has(LONGEST_HEAD)) return false;
    const first = this.held[this.at] as number;
    if (first < 0x40) this.at += 1 + first;
    else if (first === INT8) this.at += 2;
    else if (first === INT16) this.at += 3;
    else if (first === INT32) this.at += 5;
    else if (first === LZF) {
      const packedAt = this.#lengthAt(this.at + 1);
      const packed = this.length;
      this.at = this.#lengthAt(packedAt) + packed;
    } else this.at = this.#lengthAt(this.at) + this.length;
    return true;
  }

  /** Where the length that stands at a place ends. */
  #lengthAt(at: number): number {
    const first = this.held[at] as number;
    if (first < 0x40) {
      this.length = first;
      return at + 1;
    }
    if (first < 0x80) {
      this.length = ((first & 0x3f) << 8) | (this.held[at + 1] as number);
      return at + 2;
    }
    if (at + LONGEST_LENGTH > this.held.length) throw new UnknownRdb('a length that is cut off');
    if (first === 0x80) {
      this.length = this.held.readUInt32BE(at + 1);
      return at + 5;
    }
    if (first !== 0x81) throw new UnknownRdb(`a length that begins with ${first}`);
    this.length = Number(this.held.readBigUInt64BE(at + 1));
    return at + 9;
  }

  /** Takes a chunk in, and lets go of what stands before `from`. */
  add(chunk: Uint8Array, from: number): void {
    const kept = Math.min(from, this.end);
    if (this.end - kept + chunk.length > this.held.length) {
      const larger = Buffer.allocUnsafe(2 ** Math.ceil(Math.log2(this.end - kept + chunk.length)));
      this.held.copy(larger, 0, kept, this.end);
      this.held = larger;
    } else this.held.copyWithin(0, kept, this.end);
    this.held.set(chunk, this.end - kept);
    this.end += chunk.length - kept;
    this.at -= kept;
    this.base += kept;
  }
}
