import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { openStream } from '../../activities/backup/open.ts';
import { type SealOptions, sealStream } from '../../activities/backup/seal.ts';
import type { SealedFacts } from '../../config/sealed.ts';

/** What the tests of sealed objects share. */

export const kek = { id: '000001-0123456789abcdef', key: randomBytes(32) };

/** The bytes, in chunks of so many. */
export async function* inChunks(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** What a manifest says of a shard besides its place in the stream and its object. */
export const shardFacts = {
  node: 'orders-0-1',
  server: { engine: 'valkey', version: '9.1.0' },
  database: 0,
  keys: 7,
  functions: 0,
  startedAt: '2026-11-21T09:17:00.000Z',
  tookMs: 900,
} as const;

/** Frames are small, so that there are some. */
export async function sealed(
  plain: Uint8Array,
  options: Partial<SealOptions> & { readonly chunkBytes?: number } = {},
): Promise<{ readonly bytes: Buffer; readonly facts: SealedFacts }> {
  const { chunkBytes = 64 * 1024, ...rest } = options;
  const sealing = sealStream(inChunks(plain, chunkBytes), { kek, content: 'rdb', compression: 'none', frameBytes: 16, ...rest });
  const bytes = await buffer(sealing.bytes);
  return { bytes, facts: sealing.facts() };
}

export async function opened(
  bytes: Uint8Array,
  { chunkBytes = 64 * 1024, id }: { readonly chunkBytes?: number; readonly id?: string } = {},
): Promise<{ readonly bytes: Buffer; readonly facts: SealedFacts }> {
  const opening = openStream(inChunks(bytes, chunkBytes), {
    name: 'shard-0',
    kekById: async () => kek.key,
    ...(id === undefined ? {} : { id }),
  });
  const plain = await buffer(opening.bytes);
  return { bytes: plain, facts: opening.facts() };
}

/** A sealed object, taken apart: the header's line and the frames. */
export function takenApart(bytes: Buffer): { readonly header: Buffer; readonly frames: readonly Buffer[] } {
  let at = bytes.indexOf(10) + 1;
  const header = bytes.subarray(0, at);
  const frames: Buffer[] = [];
  while (at < bytes.length) {
    const end = at + 5 + bytes.readUInt32BE(at + 1) + 16;
    frames.push(bytes.subarray(at, end));
    at = end;
  }
  return { header, frames };
}
