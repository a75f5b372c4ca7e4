import { createHash } from 'node:crypto';

/** Counts and digests the bytes that go by. */
export interface Tally {
  of<T extends Uint8Array>(source: AsyncIterable<T>): AsyncGenerator<T>;
  /** Of what has gone by so far. */
  result(): { readonly bytes: number; readonly sha256: string };
}

export function createTally(): Tally {
  const hash = createHash('sha256');
  let bytes = 0;
  return {
    async *of(source) {
      for await (const chunk of source) {
        hash.update(chunk);
        bytes += chunk.length;
        yield chunk;
      }
    },
    result: () => ({ bytes, sha256: hash.copy().digest('hex') }),
  };
}
