import { failures } from '../../config/failures.ts';
import type { Piece } from '../../model/recovery/archive.ts';
import { type ArchiveReading, openSegment, readPieces } from '../archive/segment.ts';
import { encodeCommand } from '../redis/protocol.ts';
import { CommandScanner } from '../replication/command-scanner.ts';
import { fatal } from '../support/failure.ts';
import { type Cut, findCut } from './find-cut.ts';

/** A shard's writes up to a moment, as a server loads them from one file of an append-only directory. */
export interface Writes {
  readonly cut: Cut;
  /** Of the whole content. */
  readonly size: number;
  /** To be read once. @throws NotRestorable when the clock of the server that wrote them was set back; ObjectDamaged, ObjectMissing */
  readonly content: AsyncIterable<Buffer>;
}

/** @param offset of the base: the first byte that is not in it comes right after */
export async function writesUpTo(reading: ArchiveReading, pieces: readonly Piece[], offset: number, atMs: number): Promise<Writes> {
  const cut = await findCut(reading, pieces, atMs);
  const kept = pieces.filter(({ from }) => from < cut.offset).map((piece) => ({ ...piece, to: Math.min(piece.to, cut.offset) }));
  const [first] = kept;
  const db = first === undefined ? undefined : await databaseAt(reading, first);
  const select = db === undefined ? 0 : Buffer.byteLength(encodeCommand(['SELECT', db]) as string);

  async function* content(): AsyncGenerator<Buffer> {
    const scanner = new CommandScanner(offset - select);
    let last: Cut = { offset, timeMs: 0 };
    for await (const part of readPieces(reading, kept)) {
      for (const stamp of scanner.scan(part).stamps) {
        if (stamp.timeMs > atMs) throw setBack(kept, atMs, stamp.timeMs);
        if (stamp.timeMs >= last.timeMs) last = stamp;
      }
      yield part;
    }
    if (last.offset !== cut.offset) throw setBack(kept, atMs, last.timeMs);
  }
  return { cut, size: cut.offset - offset + select, content: content() };
}

/** The database that is selected where a piece begins; `readPieces` begins with its selection when it is known. */
async function databaseAt(reading: ArchiveReading, piece: Piece): Promise<number | undefined> {
  const segment = openSegment(reading, piece);
  let left = piece.from - piece.startOffset;
  let scanner: CommandScanner | undefined;
  for await (const part of segment.bytes) {
    scanner ??= new CommandScanner(piece.startOffset, segment.about().startDb);
    const { db } = scanner.scan(part.subarray(0, left));
    left -= part.length;
    if (left <= 0) return db;
  }
  return undefined;
}

const setBack = ([first]: readonly Piece[], atMs: number, stampMs: number) =>
  fatal(
    failures.notRestorable,
    `shard ${first?.shard} has writes of ${new Date(stampMs).toISOString()} before those of ${new Date(atMs).toISOString()}: its server's clock was set back in between, so the moment is not one place in its writes. Choose one that is further from there`,
  );
