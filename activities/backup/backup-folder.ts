import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BackupManifest } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import type { SealedFacts } from '../../config/sealed.ts';
import { fatal } from '../support/failure.ts';
import { objectsOf } from './catalogue.ts';
import { createTally } from './tally.ts';

/** Sizes and digests of what is stored. */
export type StoredFacts = Pick<SealedFacts, 'storedBytes' | 'storedSha256'>;

/** A folder that holds backups as a bucket does: its files lie under their keys, so that docs/open-sealed.mjs opens them where they are. */
export interface BackupFolder {
  pathOf(key: string): string;
  /** Undefined when there is no such file. */
  read(key: string): Promise<Buffer | undefined>;
  stream(key: string): AsyncIterable<Uint8Array>;
  /** Read to its end; undefined when there is no such file. */
  facts(key: string, signal?: AbortSignal): Promise<StoredFacts | undefined>;
  /** The file is there whole, on the disk, or not at all: until then it has the ending `.part`. */
  write(key: string, source: AsyncIterable<Uint8Array>, expected?: StoredFacts): Promise<void>;
  /** Keys of the files in a folder. */
  list(prefix: string): Promise<readonly string[]>;
}

export const sameBytes = (found: StoredFacts, { storedBytes, storedSha256 }: StoredFacts): boolean =>
  found.storedBytes === storedBytes && found.storedSha256 === storedSha256;

const unlessMissing = (error: unknown): undefined => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
  throw error;
};

export function openFolder(folder: string): BackupFolder {
  const pathOf = (key: string) => join(folder, ...key.split('/'));
  const stream = (key: string): AsyncIterable<Uint8Array> => createReadStream(pathOf(key), { highWaterMark: 1024 ** 2 });
  return {
    pathOf,
    stream,
    read: (key) => readFile(pathOf(key)).catch(unlessMissing),
    async facts(key, signal) {
      const found = await stat(pathOf(key)).catch(unlessMissing);
      if (found === undefined || !found.isFile()) return undefined;
      const tally = createTally();
      for await (const part of tally.of(stream(key))) {
        void part;
        signal?.throwIfAborted();
      }
      return storedOf(tally.result());
    },
    async write(key, source, expected) {
      const path = pathOf(key);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const part = `${path}.part`;
      const tally = createTally();
      try {
        const file = await open(part, 'w', 0o600);
        try {
          for await (const bytes of tally.of(source)) await file.writeFile(bytes);
          await file.sync();
        } finally {
          await file.close();
        }
        const found = storedOf(tally.result());
        if (expected !== undefined && !sameBytes(found, expected))
          throw fatal(
            failures.objectDamaged,
            `the bucket’s ${key} is not what the manifest describes: ${howItDiffers(found, expected)}. Use another backup, or put back an intact copy`,
          );
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
    },
    async list(prefix) {
      const names = await readdir(pathOf(prefix)).catch(unlessMissing);
      return (names ?? []).toSorted().map((name) => `${prefix}${name}`);
    },
  };
}

const storedOf = ({ bytes, sha256 }: { readonly bytes: number; readonly sha256: string }): StoredFacts => ({
  storedBytes: bytes,
  storedSha256: sha256,
});

/** For a person. */
export const howItDiffers = (found: StoredFacts, expected: StoredFacts): string =>
  found.storedBytes === expected.storedBytes
    ? 'its SHA-256 is another one, so it was altered'
    : `it has ${found.storedBytes} bytes, and should have ${expected.storedBytes}`;

/**
 * The objects of a manifest that comes from somewhere else. @throws FormatNotSupported when it names one outside of its own folder: nothing may be written, or read, elsewhere by it.
 */
export function ownObjects(manifest: BackupManifest) {
  const own = backupKeys.backup(manifest.cluster, manifest.id);
  return objectsOf(manifest).map(({ key, object }) => {
    if (key.startsWith(own) && /^[\w.-]+\.sealed$/.test(key.slice(own.length))) return { key, object };
    throw fatal(failures.formatNotSupported, `the manifest of ${manifest.id} names ${key}, which does not belong to it: it was altered`);
  });
}

/** Ids of the key-encryption keys that a backup needs. */
export const keysOf = (manifest: BackupManifest): readonly string[] => [...new Set(objectsOf(manifest).map(({ object }) => object.kek))];
