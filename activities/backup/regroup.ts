/** The same bytes in pieces of exactly `pieceBytes`; only the last one may be shorter, and none is empty. Holds one piece. */
export async function* regroup(source: AsyncIterable<Uint8Array>, pieceBytes: number): AsyncGenerator<Buffer> {
  let piece = Buffer.allocUnsafeSlow(pieceBytes);
  let filled = 0;
  for await (const chunk of source) {
    for (let taken = 0; taken < chunk.length; ) {
      const part = chunk.subarray(taken, taken + pieceBytes - filled);
      piece.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled < pieceBytes) continue;
      yield piece;
      piece = Buffer.allocUnsafeSlow(pieceBytes); // the reader may still hold the other one
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}
