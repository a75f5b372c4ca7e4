import { isDeepStrictEqual } from 'node:util';
import { type SegmentAbout, segmentAbout } from '../../config/archive.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys, type SegmentName } from '../../config/names.ts';
import type { Piece } from '../../model/recovery/archive.ts';
import type { KeyEncryptionKey, KeyRing } from '../backup/key-ring.ts';
import { openStream } from '../backup/open.ts';
import { type Sealing, sealStream } from '../backup/seal.ts';
import { encodeCommand } from '../redis/protocol.ts';
import { CommandScanner } from '../replication/command-scanner.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';

/** The first eight digits of a replication id, as keys have them. */
export const streamOf = (replid: string): string => replid.slice(0, 8);

export const nameOf = ({ cluster, shard, timeline, startOffset, endOffset, firstMs, lastMs, replid }: SegmentAbout): SegmentName => ({
  cluster,
  shard,
  timeline,
  startOffset,
  endOffset,
  firstMs,
  lastMs,
  stream: streamOf(replid),
});

/** Seals a stretch of a shard's writes; the bytes are as many as the offsets. */
export function sealSegment(about: SegmentAbout, bytes: AsyncIterable<Uint8Array>, kek: KeyEncryptionKey): Sealing {
  const { startDb, endDb, ...rest } = about;
  const databases = { ...(startDb === undefined ? {} : { startDb }), ...(endDb === undefined ? {} : { endDb }) };
  return sealStream(bytes, { kek, content: 'resp', about: { ...rest, ...databases } });
}

/** A stored segment that is being read. */
export interface OpenSegment {
  /** All of it, to be read once. @throws ObjectDamaged, also when it is not the segment that its key says */
  readonly bytes: AsyncIterable<Buffer>;
  /** Known with the first of `bytes`. */
  about(): SegmentAbout;
}

/** What archives are read with. */
export interface ArchiveReading {
  readonly store: Pick<StreamStore, 'getStream'>;
  readonly ring: Pick<KeyRing, 'byId'>;
  readonly signal?: AbortSignal;
}

export function openSegment({ store, ring, signal }: ArchiveReading, name: SegmentName): OpenSegment {
  const key = backupKeys.segment(name);
  const opening = openStream(store.getStream(key, signal === undefined ? {} : { signal }), { name: key, kekById: ring.byId });
  let about: SegmentAbout | undefined;

  async function* bytes(): AsyncGenerator<Buffer> {
    let left = name.endOffset - name.startOffset;
    for await (const part of opening.bytes) {
      about ??= checked(key, name, opening.header().about);
      left -= part.length;
      if (part.length > 0) yield part;
    }
    about ??= checked(key, name, opening.header().about);
    if (left !== 0) throw damaged(key, `it has ${left > 0 ? 'fewer' : 'more'} bytes than offsets`);
  }

  return {
    bytes: bytes(),
    about() {
      if (about === undefined) throw new Error(`${key} was not read yet`);
      return about;
    },
  };
}

/**
 * The writes of some pieces, one after the other, as a server loads them from an AOF. They begin with a SELECT where the database is known: servers tell it only
 * when it changes. What lies before the first piece's beginning, in the same segment, is read for that, and left out.
 * @throws ObjectMissing, ObjectDamaged
 */
export async function* readPieces(reading: ArchiveReading, pieces: readonly Piece[]): AsyncGenerator<Buffer> {
  let first = true;
  for (const piece of pieces) {
    const segment = openSegment(reading, piece);
    let at = piece.startOffset;
    let before: CommandScanner | undefined;
    for await (const part of segment.bytes) {
      const skip = Math.min(Math.max(0, piece.from - at), part.length);
      if (first) {
        before ??= new CommandScanner(piece.startOffset, segment.about().startDb);
        const { db } = before.scan(part.subarray(0, skip));
        if (skip < part.length || at + skip === piece.from) {
          first = false;
          if (db !== undefined) yield Buffer.from(encodeCommand(['SELECT', db]));
        }
      }
      const keep = part.subarray(skip, Math.max(skip, piece.to - at));
      if (keep.length > 0) yield keep;
      at += part.length;
    }
  }
}

function checked(key: string, name: SegmentName, found: unknown): SegmentAbout {
  const about = segmentAbout.safeParse(found);
  const { cluster, shard, timeline, startOffset, endOffset, firstMs, lastMs, stream } = name;
  if (about.success && isDeepStrictEqual(nameOf(about.data), { cluster, shard, timeline, startOffset, endOffset, firstMs, lastMs, stream }))
    return about.data;
  throw damaged(key, 'its header says that it is another segment');
}

const damaged = (key: string, why: string) => fatal(failures.objectDamaged, `${key} cannot be used: ${why}. Put back an intact copy`);
