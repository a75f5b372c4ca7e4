import { failures } from '../../config/failures.ts';
import { MAX_HEADER_BYTES, SEALED_FORMAT, type SealedFacts, type SealedHeader } from '../../config/sealed.ts';
import { fatal } from '../support/failure.ts';
import { type ByteReader, createByteReader } from './byte-reader.ts';
import { FRAME_HEAD_BYTES, type FrameKey, openFrame, readHeader, TAG_BYTES } from './frame.ts';
import { createTally } from './tally.ts';
import { decompress } from './zstd.ts';

const NEWLINE = 10;

export interface OpenOptions {
  /** What messages call the object: its key in the bucket. */
  readonly name: string;
  /** Finds a key-encryption key: `KeyRing.byId`. */
  readonly kekById: (id: string) => Promise<Uint8Array>;
  /** The identity that the manifest names. Any other object is refused, however intact it is. */
  readonly id?: string;
  /** Says what is amiss with where the object says that it belongs, if anything is. */
  readonly amiss?: (about: SealedHeader['about']) => string | undefined;
}

/** A sealed object that is being opened. */
export interface Opening {
  /**
   * The plain bytes, to be read once. Each is authentic when it is handed out, and the whole is when there are no more of them: until then the
   * object may turn out to be cut short. Memory: a few frames.
   */
  readonly bytes: AsyncIterable<Buffer>;
  /** What the header says. Authentic. @throws Error before the first of `bytes` was asked for. */
  header(): SealedHeader;
  /** Sizes and digests, to compare with the manifest's. @throws Error before `bytes` has come to its end. */
  facts(): SealedFacts;
}

/**
 * Opens what `sealStream` made. `bytes` throws
 * - ObjectDamaged when the object was altered, cut short, put together from frames of this or another object, or does not belong here. The message has the number of
 *   the first frame, from 0, that is not as it was;
 * - FormatNotSupported when it was made by a later version;
 * - what `kekById` throws, and what the source throws.
 */
export function openStream(source: AsyncIterable<Uint8Array>, { name, kekById, id, amiss }: OpenOptions): Opening {
  const stored = createTally();
  const plain = createTally();
  let header: SealedHeader | undefined;
  let ended = false;

  async function open(reader: ByteReader): Promise<FrameKey> {
    const line = await reader.take(MAX_HEADER_BYTES, NEWLINE);
    if (line.at(-1) !== NEWLINE) throw damaged(name, 'it is cut short in its header, or no sealed object');
    const read = readHeader(line);
    if (read === 'another format') throw unknownFormat(name, line);
    if (read === 'damaged') throw damaged(name, 'its header was altered, or it is no sealed object');
    if (id !== undefined && read.header.id !== id)
      throw damaged(
        name,
        `its header names the identity ${read.header.id}, and the manifest ${id}: it is another object, or was sealed again`,
      );
    const key = read.unwrap(await kekById(read.header.kek));
    if (key === undefined) throw damaged(name, `its header was altered: its data key does not open with key ${read.header.kek}`);
    const why = amiss?.(read.header.about);
    if (why !== undefined) throw damaged(name, why);
    header = read.header;
    return key;
  }

  async function* frames(reader: ByteReader, key: FrameKey, frameBytes: number): AsyncGenerator<Buffer> {
    for (let index = 0, last = false; !last; index++) {
      const head = await reader.take(FRAME_HEAD_BYTES);
      if (head.length < FRAME_HEAD_BYTES) throw damaged(name, `it is cut short: frame ${index} is missing`);
      const [flag, length] = [head.readUInt8(), head.readUInt32BE(1)];
      if (flag > 1 || length > frameBytes) throw damaged(name, `the head of frame ${index} was altered`);
      last = flag === 1;
      const body = await reader.take(length + TAG_BYTES);
      if (body.length < length + TAG_BYTES) throw damaged(name, `it is cut short in frame ${index}`);
      const opened = openFrame(key, index, last, body);
      if (opened === undefined)
        throw damaged(
          name,
          `frame ${index} does not open: it was altered, or is not the frame that belongs there, or the header was altered`,
        );
      if (last && (await reader.take(1)).length > 0) throw damaged(name, `bytes follow frame ${index}, which is the last one`);
      yield opened;
    }
  }

  async function* plainBytes(): AsyncGenerator<Buffer> {
    const reader = createByteReader(stored.of(source));
    try {
      const key = await open(reader);
      const { frameBytes, compression } = header ?? { frameBytes: 0, compression: 'none' };
      const opened = frames(reader, key, frameBytes);
      yield* plain.of(compression === 'zstd' ? decompress(opened) : opened);
      ended = true;
    } finally {
      await reader.close();
    }
  }

  return {
    bytes: plainBytes(),
    header() {
      if (header === undefined) throw new Error(`the header of ${name} was not read yet`);
      return header;
    },
    facts() {
      if (header === undefined || !ended) throw new Error(`${name} was not read to its end`);
      const { bytes: plainSize, sha256: plainSha256 } = plain.result();
      const { bytes: storedBytes, sha256: storedSha256 } = stored.result();
      return { id: header.id, kek: header.kek, plainBytes: plainSize, plainSha256, storedBytes, storedSha256 };
    },
  };
}

const damaged = (name: string, why: string) =>
  fatal(failures.objectDamaged, `${name} cannot be used: ${why}. Put back an intact copy, or use another backup`);

const unknownFormat = (name: string, line: Buffer) =>
  fatal(
    failures.formatNotSupported,
    `${name} is in the format ${line.toString().split(' ', 1)[0]}, as its header says; this version of Holdfast reads ${SEALED_FORMAT}: use a later one`,
  );
