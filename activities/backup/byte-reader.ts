/** Takes a stream of bytes apart. Holds what was asked for, and the rest of one chunk. */
export interface ByteReader {
  /** The next `count` bytes; fewer when the stream ends before, or when `until` comes before: then up to and with it. Their memory is used again by the next call. */
  take(count: number, until?: number): Promise<Buffer>;
  /** Leaves the source. */
  close(): Promise<void>;
}

export function createByteReader(source: AsyncIterable<Uint8Array>): ByteReader {
  const iterator = source[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  let ended = false;
  let room = Buffer.alloc(0);

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
      if (room.length < count) room = Buffer.allocUnsafeSlow(count);
      let taken = 0;
      for (let found = false; taken < count && !found && (await more()); ) {
        const at = until === undefined ? -1 : rest.subarray(0, count - taken).indexOf(until);
        found = at !== -1;
        const part = rest.subarray(0, found ? at + 1 : count - taken);
        room.set(part, taken);
        rest = rest.subarray(part.length);
        taken += part.length;
      }
      return room.subarray(0, taken);
    },
    async close() {
      await iterator.return?.();
    },
  };
}
