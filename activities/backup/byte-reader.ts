/** Takes a stream of bytes apart. Holds what was asked for, and the rest of one chunk. */
export interface ByteReader {
  /** The next `count` bytes; fewer when the stream ends before, or when `until` comes before: then up to and with it. */
  take(count: number, until?: number): Promise<Buffer>;
  /** Leaves the source. */
  close(): Promise<void>;
}

export function createByteReader(source: AsyncIterable<Uint8Array>): ByteReader {
  const iterator = source[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  let ended = false;

  async function more(): Promise<boolean> {
    while (rest.length === 0 && !ended) {
      const next = await iterator.next();
      if (next.done === true) ended = true;
      else rest = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    }
    return rest.length > 0;
  }

  return {
    async take(count, until) {
      const parts: Buffer[] = [];
      for (let missing = count, found = false; missing > 0 && !found && (await more()); ) {
        const at = until === undefined ? -1 : rest.subarray(0, missing).indexOf(until);
        found = at !== -1;
        const part = rest.subarray(0, found ? at + 1 : missing);
        parts.push(part);
        rest = rest.subarray(part.length);
        missing -= part.length;
      }
      return Buffer.concat(parts);
    },
    async close() {
      await iterator.return?.();
    },
  };
}
