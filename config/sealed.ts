import { z } from 'zod';

/** Sealed objects: what of them is written in plain JSON. docs/backup-format.md is the whole format. */

/** The first word of a sealed object. Another layout of what follows is another word. */
export const SEALED_FORMAT = 'holdfast-sealed-1';

/** A header's line is never longer, in bytes. */
export const MAX_HEADER_BYTES = 4096;

/** Bytes of a frame before it is encrypted, at most; a reader needs memory for one or two. */
export const MAX_FRAME_BYTES = 16 * 1024 ** 2;

export const keyEncryptionKeyId = z
  .string()
  .regex(/^\d{6}-[0-9a-f]{16}$/, 'the id of a key-encryption key looks like 000001-0123456789abcdef')
  .describe('Id of the key-encryption key: a number that counts up, and a random part.');

export const sealedId = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'an identity is 32 hex digits')
  .describe(
    'Identity of the object: 128 random bits in hex. No other object has it, not even a second copy of the same bytes sealed anew.',
  );

export const compression = z.enum(['zstd', 'none']);
export type Compression = z.output<typeof compression>;

/** The JSON in the header's line. All of it is authenticated, none of it is secret. */
export const sealedHeader = z.strictObject({
  id: sealedId,
  content: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}$/)
    .describe('What the plain bytes are: `rdb`, `acl`, or `resp` for a piece of a stream of writes.'),
  about: z
    .record(z.string(), z.union([z.string(), z.int()]))
    .describe('Where it belongs: cluster, backup, shard, place in the stream. What is not here is known from the manifest only.'),
  compression: compression.describe('Whether the plain bytes are one zstd frame (RFC 8878), or as they are.'),
  cipher: z.literal('aes-256-gcm').describe('How the frames are encrypted.'),
  frameBytes: z.int().min(1).max(MAX_FRAME_BYTES).describe('Bytes of a frame before it is encrypted, after compression, at most.'),
  kek: keyEncryptionKeyId,
});
export type SealedHeader = z.output<typeof sealedHeader>;

const size = z.int().min(0);
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 hex digits');

/** What was sealed: enough to know it again. */
export const sealedFacts = z.strictObject({
  id: sealedId,
  kek: keyEncryptionKeyId,
  plainBytes: size.describe('Bytes before compression and encryption.'),
  plainSha256: sha256.describe('SHA-256 of the bytes before compression and encryption, in hex.'),
  storedBytes: size.describe('Bytes in the bucket.'),
  storedSha256: sha256.describe('SHA-256 of the bytes in the bucket, in hex.'),
});
export type SealedFacts = z.output<typeof sealedFacts>;
