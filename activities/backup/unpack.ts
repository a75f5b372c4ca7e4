import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { cancellationSignal } from '@temporalio/activity';
import { pack } from 'tar-stream';
import type { ShardBackup } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { NODE_UID } from '../docker/containers.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { report } from '../support/beating.ts';
import { fatal } from '../support/failure.ts';
import { howAboutDiffers, type PartOf } from './about-shard.ts';
import { type Opening, openStream } from './open.ts';

/** From the bucket into a server's folder, without a file on the way. */

export interface UnpackDeps {
  readonly secrets: SecretStore;
  readonly store: StreamStore;
}

/**
 * A stored shard, to be read once. What its header says of its place is compared before the first byte is handed out: that is sealed, and the
 * manifest is not. The cluster is the one that was backed up.
 */
export async function openShard({ secrets, store }: UnpackDeps, partOf: PartOf, shard: ShardBackup): Promise<Opening> {
  const { key, object } = shard;
  const ring = await secrets.keyRing(partOf.cluster);
  return openStream(store.getStream(key, { signal: cancellationSignal() }), {
    name: key,
    kekById: ring.byId,
    id: object.id,
    amiss: (about) => howAboutDiffers(about, partOf, shard),
  });
}

/** The plain bytes, with how far they are in the heartbeats. */
export async function* told(opening: Opening, { shard, object }: ShardBackup): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const part of opening.bytes) {
    bytes += part.length;
    report({ shard, bytes, of: object.plainBytes });
    yield part;
  }
}

/** @throws ObjectDamaged when what was read is not what the manifest describes */
export function requireSame(opening: Opening, { key, object }: ShardBackup): void {
  if (isDeepStrictEqual(opening.facts(), object)) return;
  throw fatal(
    failures.objectDamaged,
    `${key} opens, but it is not what the manifest describes: ${JSON.stringify(opening.facts())}. Was one of them replaced?`,
  );
}

/** A file for a server's folder, whose length is known before its content. */
export interface StreamedFile {
  readonly name: string;
  readonly size: number;
  readonly content: AsyncIterable<Uint8Array>;
}

const BLOCK_BYTES = 512;

/** A tar archive of folders and the files in them, all of a node's user. The files come one by one, each when the one before has gone by. */
export async function* tarOf(
  folders: readonly string[],
  files: AsyncIterable<StreamedFile> | Iterable<StreamedFile>,
): AsyncGenerator<Uint8Array> {
  const owner = { uid: NODE_UID, gid: NODE_UID };
  for (const name of folders) yield await headOf({ name, type: 'directory', mode: 0o700, ...owner });
  for await (const { name, size, content } of files) {
    yield await headOf({ name, mode: 0o600, size, ...owner });
    let bytes = 0;
    for await (const part of content) {
      bytes += part.length;
      yield part;
    }
    if (bytes !== size) throw new Error(`${name} was to have ${size} bytes and has ${bytes}`);
    yield Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

/** The head of an entry: one block, for names are short and plain. */
async function headOf(header: Parameters<ReturnType<typeof pack>['entry']>[0]): Promise<Buffer> {
  const tar = pack();
  tar.entry(header);
  for await (const head of tar) return head as Buffer;
  throw new Error('an entry without a head');
}

/** Sends a tar archive through the engine; the reason why its making broke off is the one that is thrown. */
export async function pour(archive: AsyncIterable<Uint8Array>, put: (tar: Readable, signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  let cause: unknown;
  const tar = Readable.from(archive);
  // Whoever reads it does not notice that it broke.
  tar.once('error', (error) => {
    cause = error;
    stop.abort();
  });
  try {
    await put(tar, stop.signal);
  } catch (error) {
    throw cause ?? error;
  } finally {
    tar.destroy();
  }
}
