import type { BackupManifest } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import type { MasterKeys } from '../secrets/master-keys.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { type BackupFolder, howItDiffers, keysOf, ownObjects, sameBytes } from './backup-folder.ts';
import { commitBackup, parseManifest, readManifest } from './catalogue.ts';
import { type Carried, type CarryOptions, isSameBackup } from './export-backup.ts';
import type { KeyRing } from './key-ring.ts';
import { createTally } from './tally.ts';

export interface ImportOptions extends CarryOptions {
  /** The keys that the cluster's backups are sealed under in this bucket. */
  readonly ringOf: (cluster: string) => Promise<KeyRing>;
  /** The master keys that the folder's keys are sealed under, when it is not this installation's own. */
  readonly sealedUnder?: MasterKeys;
}

/**
 * Every backup that the folder holds is one of the bucket's, and can be opened with this installation's master key. All files are compared with their digests before anything is stored, and again on their way;
 * the manifest comes last, so that what was broken off is no backup. What is in the bucket already, whole, stays.
 * @throws InvalidInput when the folder holds none, ObjectMissing and ObjectDamaged naming the file, SecretMissing, WrongMasterKey, PlanRefused when the bucket has another backup of that id
 */
export async function importBackups(store: StreamStore, folder: BackupFolder, options: ImportOptions): Promise<readonly Carried[]> {
  const manifests = await readManifests(folder);
  if (manifests.length === 0)
    throw fatal(
      failures.invalidInput,
      `${folder.pathOf('')} holds no exported backup: give the folder that has backups/<cluster>/<backup>/manifest.json in it. An export that was broken off has no manifest: run it again`,
    );
  for (const manifest of manifests) await requireIntact(folder, manifest, options.signal);
  const carried: Carried[] = [];
  for (const manifest of manifests) carried.push(await importOne(store, folder, manifest, options));
  return carried;
}

async function readManifests(folder: BackupFolder): Promise<readonly BackupManifest[]> {
  const found: BackupManifest[] = [];
  for (const cluster of await folder.list('backups/'))
    for (const backup of await folder.list(`${cluster}/`)) {
      const key = `${backup}/manifest.json`;
      const bytes = await folder.read(key);
      if (bytes === undefined) continue;
      const manifest = parseManifest(bytes);
      if (manifest === undefined || backupKeys.manifest(manifest.cluster, manifest.id) !== key)
        throw fatal(
          failures.formatNotSupported,
          `${folder.pathOf(key)} is no manifest that this version of Holdfast can read: export the backup again, or use a later version`,
        );
      found.push(manifest);
    }
  return found;
}

/** @throws ObjectMissing, ObjectDamaged naming the file */
async function requireIntact(folder: BackupFolder, manifest: BackupManifest, signal?: AbortSignal): Promise<void> {
  for (const { key, object } of ownObjects(manifest)) {
    const found = await folder.facts(key, signal);
    if (found === undefined)
      throw fatal(failures.objectMissing, `${folder.pathOf(key)} is missing: export the backup again into the same folder`);
    if (!sameBytes(found, object))
      throw fatal(
        failures.objectDamaged,
        `${folder.pathOf(key)} is not what the manifest describes: ${howItDiffers(found, object)}. Export the backup again into the same folder`,
      );
  }
}

async function importOne(
  store: StreamStore,
  folder: BackupFolder,
  manifest: BackupManifest,
  { signal, onObject, ringOf, sealedUnder }: ImportOptions,
): Promise<Carried> {
  const { cluster, id } = manifest;
  const there = await readManifest(store, cluster, id);
  if (there !== undefined && !isSameBackup(manifest, there))
    throw fatal(
      failures.refused,
      `the bucket has another backup ${id} of cluster ${cluster}, and nothing is overwritten: look at it with holdfast backup show ${cluster} ${id}`,
    );
  const ring = await ringOf(cluster);
  for (const kek of keysOf(manifest)) await adopt(folder, ring, cluster, kek, sealedUnder);
  const total = { carried: 0, found: 0, bytes: 0 };
  for (const { key, object } of ownObjects(manifest)) {
    signal?.throwIfAborted();
    if (await isThere(store, key, object, signal)) total.found++;
    else {
      const tally = createTally();
      await store.putStream(key, tally.of(folder.stream(key)), signal === undefined ? {} : { signal });
      const { bytes, sha256 } = tally.result();
      if (!sameBytes({ storedBytes: bytes, storedSha256: sha256 }, object)) {
        await store.remove(key);
        throw fatal(failures.objectDamaged, `${folder.pathOf(key)} has changed while it was read: does somebody write there?`);
      }
      total.carried++;
    }
    total.bytes += object.storedBytes;
    onObject?.(key, object.storedBytes);
  }
  signal?.throwIfAborted();
  await commitBackup(store, manifest);
  return { cluster, backup: id, ...total };
}

/** Read again, whole: an object of the right size may be a damaged one, which the folder's intact one replaces. */
async function isThere(
  store: StreamStore,
  key: string,
  object: { readonly storedBytes: number; readonly storedSha256: string },
  signal?: AbortSignal,
): Promise<boolean> {
  if ((await store.head(key))?.bytes !== object.storedBytes) return false;
  const tally = createTally();
  for await (const part of tally.of(store.getStream(key, signal === undefined ? {} : { signal }))) void part;
  return tally.result().sha256 === object.storedSha256;
}

async function adopt(folder: BackupFolder, ring: KeyRing, cluster: string, kek: string, sealedUnder?: MasterKeys): Promise<void> {
  const prefix = backupKeys.keyCopies(cluster);
  const copies = (await folder.list(prefix)).filter((key) => key.startsWith(`${prefix}${kek}.`) && key.endsWith('.sealed'));
  if (copies.length === 0)
    throw fatal(
      failures.secretMissing,
      `${folder.pathOf(`${prefix}${kek}`)}.*.sealed is missing, and without it nobody can open the backup: export it again into the same folder`,
    );
  const taken = await ring.adopt(kek, async (key) => (await folder.read(key))?.toString(), sealedUnder);
  if (taken) return;
  const under = copies.flatMap((key) => /\.([0-9a-f]{16})\.sealed$/.exec(key)?.[1] ?? []);
  throw fatal(
    failures.wrongMasterKey,
    `the keys of this backup are sealed under master key ${under.join(' or ')}, and that is not the one given here: name the file that has it with --sealed-under`,
  );
}
