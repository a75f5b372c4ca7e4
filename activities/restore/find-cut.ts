import { failures } from '../../config/failures.ts';
import type { Piece } from '../../model/recovery/archive.ts';
import { type ArchiveReading, openSegment } from '../archive/segment.ts';
import { CommandScanner } from '../replication/command-scanner.ts';
import { fatal } from '../support/failure.ts';

/** A place in a shard's stream. */
export interface Cut {
  readonly offset: number;
  /** The last stamp before it: that far is certain. */
  readonly timeMs: number;
}

/** Stamps stand some ten a second, so the last pieces have one; further back nobody has to look. */
const MOST_PIECES = 5;

/**
 * Where to cut the pieces for a moment: right after the last stamp at or before it that has none after the moment before it, as `TimeCutFinder` has it. Only the last pieces are
 * read: `writesUpTo` sees all of them, and refuses what is not so.
 * @throws NotRestorable, ObjectDamaged, ObjectMissing
 */
export async function findCut(reading: ArchiveReading, pieces: readonly Piece[], atMs: number): Promise<Cut> {
  for (const piece of pieces.slice(-MOST_PIECES).toReversed()) {
    const cut = await cutIn(reading, piece, atMs);
    if (cut !== undefined) return cut;
  }
  const [first] = pieces;
  throw fatal(
    failures.notRestorable,
    `shard ${first?.shard} cannot be cut at ${new Date(atMs).toISOString()}: nothing after its base says that it was written by then. Choose a moment after ${new Date(first?.lastMs ?? atMs).toISOString()}`,
  );
}

async function cutIn(reading: ArchiveReading, piece: Piece, atMs: number): Promise<Cut | undefined> {
  const scanner = new CommandScanner(piece.startOffset);
  let cut: Cut | undefined;
  for await (const part of openSegment(reading, piece).bytes)
    for (const { offset, timeMs } of scanner.scan(part).stamps) {
      if (offset <= piece.from) continue;
      if (offset > piece.to || timeMs > atMs) return cut;
      if (timeMs >= (cut?.timeMs ?? piece.firstMs)) cut = { offset, timeMs };
    }
  return cut;
}
