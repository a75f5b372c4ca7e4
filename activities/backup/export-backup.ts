import { isDeepStrictEqual } from 'node:util';
import type { BackupManifest } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { type BackupFolder, keysOf, ownObjects, sameBytes } from './backup-folder.ts';
import { findManifest, parseManifest } from './catalogue.ts';

/** What was carried from one place to the other. */
export interface Carried {
  readonly cluster: string;
  readonly backup: string;
  /** Objects that were carried now, and those that were there already, whole. */
  readonly carried: number;
  readonly found: number;
  readonly bytes: number;
}

export interface CarryOptions {
  /** Ends it; its reason is thrown. What is there already is taken up by the next one. */
  readonly signal?: AbortSignal;
  /** Told of every object that is there now. */
  readonly onObject?: (key: string, bytes: number) => void;
}

/**
 * A backup lies in the folder, whole, with the keys that it is sealed under; its manifest comes last. Every byte is compared with the manifest’s digests.
 * @throws BackupNotFound, ObjectDamaged, ObjectMissing, SecretMissing, PlanRefused when the folder has another backup of that id
 */
export async function exportBackup(
  store: StreamStore,
  folder: BackupFolder,
  { cluster, backup }: { readonly cluster: string; readonly backup: string },
  { signal, onObject }: CarryOptions = {},
): Promise<Carried> {
  const manifest = await findManifest(store, cluster, backup);
  const { id } = manifest;
  const manifestKey = backupKeys.manifest(cluster, id);
  const there = await folder.read(manifestKey);
  if (there !== undefined && !isSameBackup(manifest, parseManifest(there)))
    throw fatal(failures.refused, `${folder.pathOf(manifestKey)} is the manifest of another backup of that id: choose another folder`);

  const total = { carried: 0, found: 0, bytes: 0 };
  for (const { key, object } of ownObjects(manifest)) {
    signal?.throwIfAborted();
    const before = await folder.facts(key, signal);
    if (before !== undefined && sameBytes(before, object)) total.found++;
    else {
      await folder.write(key, store.getStream(key, signal === undefined ? {} : { signal }), object);
      total.carried++;
    }
    total.bytes += object.storedBytes;
    onObject?.(key, object.storedBytes);
  }
  for (const kek of keysOf(manifest)) await takeKey(store, folder, cluster, kek);
  await folder.write(manifestKey, once(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)));
  return { cluster, backup: id, ...total };
}

/** Every copy of a key. One that is listed may be gone a moment later, when keys are rotated: then there is another. */
async function takeKey(store: StreamStore, folder: BackupFolder, cluster: string, kek: string): Promise<void> {
  const prefix = `${backupKeys.keyCopies(cluster)}${kek}.`;
  for (let tries = 0; tries < 3; tries++) {
    let taken = 0;
    for (const key of await store.list(prefix)) {
      const copy = await store.get(key);
      if (copy === undefined) continue;
      await folder.write(key, once(copy));
      taken++;
    }
    if (taken > 0) return;
  }
  throw fatal(
    failures.secretMissing,
    `the bucket has no key ${kek} of cluster ${cluster}, so nobody can open this backup: put ${prefix}*.sealed back from a copy of the bucket`,
  );
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Whether two manifests are of the same stored objects; what people and verifications said of them may differ. */
export const isSameBackup = (one: BackupManifest, other: BackupManifest | undefined): boolean =>
  other !== undefined &&
  one.clusterId === other.clusterId &&
  isDeepStrictEqual([one.id, one.cluster, one.shards, one.acl], [other.id, other.cluster, other.shards, other.acl]);
