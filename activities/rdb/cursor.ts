import { Window } from './window.ts';

/** The bytes of an RDB cannot be taken apart: they hold something that this version does not know. */
export class UnknownRdb extends Error {}

/** How a string begins that is a number, or compressed. */
export const [INT8, INT16, INT32, LZF] = [0xc0, 0xc1, 0xc2, 0xc3];
const INCOMPLETE = -1;

/**
 * A place in an RDB that goes by. Its methods step over fields, and say false, having done nothing, when what tells where one ends is not all here; then `at` may come to stand behind what is here.
 * The format is that of the servers' rdb.c.
 */
export class RdbCursor extends Window {
  /** The length that was read last. */
  length = 0;

  stepLength(): boolean {
    return this.#stepTo(this.#lengthAt(this.at), 0);
  }

  stepString(): boolean {
    if (this.at >= this.end) return false;
    const first = this.held[this.at] as number;
    if (first < 0x40) {
      this.at += 1 + first;
      return true;
    }
    if (first < INT8) {
      const textAt = this.#lengthAt(this.at);
      return this.#stepTo(textAt, this.length);
    }
    if (first === LZF) {
      const plainAt = this.#lengthAt(this.at + 1);
      const packed = this.length;
      return plainAt !== INCOMPLETE && this.#stepTo(this.#lengthAt(plainAt), packed);
    }
    if (first > INT32) throw new UnknownRdb(`a string that begins with ${first}`);
    this.at += 1 + 2 ** (first - INT8);
    return true;
  }

  #stepTo(at: number, more: number): boolean {
    if (at === INCOMPLETE) return false;
    this.at = at + more;
    return true;
  }

  /** Where the length ends that stands at a place. */
  #lengthAt(at: number): number {
    if (at >= this.end) return INCOMPLETE;
    const first = this.held[at] as number;
    if (first < 0x40) {
      this.length = first;
      return at + 1;
    }
    const bytes = first < 0x80 ? 2 : first === 0x80 ? 5 : 9;
    if (first > 0x81) throw new UnknownRdb(`a length that begins with ${first}`);
    if (at + bytes > this.end) return INCOMPLETE;
    if (first < 0x80) this.length = ((first & 0x3f) << 8) | (this.held[at + 1] as number);
    else if (first === 0x80) this.length = this.held.readUInt32BE(at + 1);
    else this.length = Number(this.held.readBigUInt64BE(at + 1));
    return at + bytes;
  }
}
