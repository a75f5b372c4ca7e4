/** Pieces that there are at once: the one that is being filled, and the one that the reader got last. */
const PIECES = 2;

/**
 * The same bytes in pieces of exactly `pieceBytes`; only the last one may be shorter, and none is empty. A piece may be read until the second next one is asked for: then its memory is used again, for what
 * is thrown away after each MiB of a stream stays with the process long before it is collected.
 */
export async function* regroup(source: AsyncIterable<Uint8Array>, pieceBytes: number): AsyncGenerator<Buffer> {
  const pieces = Array.from({ length: PIECES }, () => Buffer.allocUnsafeSlow(pieceBytes)); // takes memory where it is written to
  let [number, filled] = [0, 0];
  for await (const chunk of source) {
    for (let taken = 0; taken < chunk.length; ) {
      const piece = pieces[number % PIECES] ?? Buffer.alloc(0);
      const part = chunk.subarray(taken, taken + pieceBytes - filled);
      piece.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled < pieceBytes) continue;
      yield piece;
      number++;
      filled = 0;
    }
  }
  if (filled > 0) yield pieces[number % PIECES]?.subarray(0, filled) ?? Buffer.alloc(0);
}
