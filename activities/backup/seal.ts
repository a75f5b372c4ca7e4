import { randomBytes } from 'node:crypto';
import type { Compression, SealedFacts } from '../../config/sealed.ts';
import { sealFrame, writeHeader } from './frame.ts';
import type { KeyEncryptionKey } from './key-ring.ts';
import { regroup } from './regroup.ts';
import { createTally } from './tally.ts';
import { compress, DEFAULT_LEVEL } from './zstd.ts';

const DEFAULT_FRAME_BYTES = 1024 ** 2;

export interface SealOptions {
  readonly kek: KeyEncryptionKey;
  /** What the bytes are: `rdb`, `resp`. */
  readonly content: string;
  /** Where they belong; anyone may read it, and nobody can change it. */
  readonly about?: Readonly<Record<string, string | number>>;
  /** `none` for what is compressed already. @default 'zstd' */
  readonly compression?: Compression;
  /** Of zstd. @default 1 */
  readonly level?: number;
  /** Bytes of a frame before it is encrypted. @default 1 MiB */
  readonly frameBytes?: number;
}

/** An object that is being sealed. */
export interface Sealing {
  /** Identity of the object. */
  readonly id: string;
  /** The object's bytes, to be read once: the header's line, then the parts of a frame at a time. Memory: a few frames. */
  readonly bytes: AsyncIterable<Buffer>;
  /** Sizes and digests. @throws Error before `bytes` has come to its end. */
  facts(): SealedFacts;
}

/** Seals a stream of bytes under a data key of its own, as docs/backup-format.md describes. What the source throws comes out of `bytes`. */
export function sealStream(source: AsyncIterable<Uint8Array>, options: SealOptions): Sealing {
  const { kek, content, about = {}, compression = 'zstd', level = DEFAULT_LEVEL, frameBytes = DEFAULT_FRAME_BYTES } = options;
  const id = randomBytes(16).toString('hex');
  const header = writeHeader({ id, content, about, compression, cipher: 'aes-256-gcm', frameBytes, kek: kek.id }, kek.key);
  const plain = createTally();
  const stored = createTally();
  let ended = false;

  async function* frames(): AsyncGenerator<Buffer> {
    yield header.line;
    const counted = plain.of(source);
    const pieces = regroup(compression === 'zstd' ? compress(counted, level) : counted, frameBytes);
    let index = 0;
    let held: Buffer | undefined; // which piece is the last is known when no other one comes
    for await (const piece of pieces) {
      if (held !== undefined) yield* sealFrame(header.key, index++, false, held);
      held = piece;
    }
    yield* sealFrame(header.key, index, true, held ?? Buffer.alloc(0));
    ended = true;
  }

  return {
    id,
    bytes: stored.of(frames()),
    facts() {
      if (!ended) throw new Error(`the sealed object ${id} is not complete`);
      const { bytes: plainBytes, sha256: plainSha256 } = plain.result();
      const { bytes: storedBytes, sha256: storedSha256 } = stored.result();
      return { id, kek: kek.id, plainBytes, plainSha256, storedBytes, storedSha256 };
    },
  };
}
