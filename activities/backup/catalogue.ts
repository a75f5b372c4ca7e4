import { isDeepStrictEqual } from 'node:util';
import {
  type AclBackup,
  type BackupDamage,
  type BackupHold,
  type BackupManifest,
  backupManifest,
  type ShardBackup,
  type Verification,
} from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import { withDamage, withVerification } from '../../model/recovery/verification.ts';
import { readJson } from '../storage/json.ts';
import type { ObjectStore, StreamStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';

/** The manifest of a backup; undefined when there is none. @throws FormatNotSupported */
export async function readManifest(store: ObjectStore, cluster: string, id: string): Promise<BackupManifest | undefined> {
  const key = backupKeys.manifest(cluster, id);
  const bytes = await store.get(key);
  if (bytes === undefined) return undefined;
  const parsed = parseOwnManifest(bytes, cluster, id);
  if ('manifest' in parsed) return parsed.manifest;
  throw fatal(failures.formatNotSupported, parsed.unreadable);
}

/** A manifest that lies under its own key; or why it is none, for a person. */
export function parseOwnManifest(
  bytes: Uint8Array,
  cluster: string,
  id: string,
): { readonly manifest: BackupManifest } | { readonly unreadable: string } {
  const parsed = backupManifest.safeParse(readJson(bytes));
  if (parsed.success && parsed.data.id === id && parsed.data.cluster === cluster) return { manifest: parsed.data };
  const why = parsed.error?.issues[0]?.message ?? 'it is of another backup';
  return {
    unreadable: `${backupKeys.manifest(cluster, id)} is no manifest that this version of Holdfast can read: ${why}. Put back an intact copy, or use a later version`,
  };
}

/** A manifest that lies elsewhere; undefined when it cannot be read. */
export const parseManifest = (bytes: Uint8Array): BackupManifest | undefined => backupManifest.safeParse(readJson(bytes)).data;

/** @throws BackupNotFound */
export async function requireManifest(store: ObjectStore, cluster: string, id: string): Promise<BackupManifest> {
  const found = await readManifest(store, cluster, id);
  if (found !== undefined) return found;
  throw fatal(
    failures.backupNotFound,
    `there is no backup ${id} of cluster ${cluster}: holdfast backup list ${cluster} shows those that are`,
  );
}

/** The manifest of the backup that a person named: by its id, or as the newest one. @throws BackupNotFound */
export async function findManifest(store: ObjectStore, cluster: string, backup: string): Promise<BackupManifest> {
  if (backup !== 'latest') return requireManifest(store, cluster, backup);
  const [newest] = await backupIds(store, cluster);
  if (newest !== undefined) return requireManifest(store, cluster, newest);
  throw fatal(failures.backupNotFound, `there are no backups of cluster ${cluster}: make one with holdfast backup create ${cluster}`);
}

/** Ids of the backups that have a manifest, newest first. */
export const backupIds = async (store: ObjectStore, cluster: string): Promise<readonly string[]> =>
  idsIn(cluster, await store.list(backupKeys.backups(cluster)));

/** The same, of a listing of the cluster's folder. A manifest that stands alone makes no backup: it came late, when all that it names had been removed. */
export function idsIn(cluster: string, listing: readonly string[]): readonly string[] {
  const prefix = backupKeys.backups(cluster);
  const keys = listing.map((key) => key.slice(prefix.length));
  const stored = new Set(keys.flatMap((key) => /^([^/]+)\/(?!manifest\.json$)/.exec(key)?.[1] ?? []));
  return keys
    .flatMap((key) => /^([^/]+)\/manifest\.json$/.exec(key)?.[1] ?? [])
    .filter((id) => stored.has(id))
    .toSorted()
    .toReversed();
}

/** Every sealed object that a manifest names. */
export const objectsOf = ({ shards, acl }: BackupManifest): readonly (ShardBackup | AclBackup)[] => [
  ...shards,
  ...(acl === undefined ? [] : [acl]),
];

/** Written and read back: until then it is no backup. */
async function write(store: ObjectStore, manifest: BackupManifest): Promise<void> {
  const { cluster, id } = manifest;
  refuseWhenCancelled();
  await store.put(backupKeys.manifest(cluster, id), `${JSON.stringify(backupManifest.parse(manifest), null, 2)}\n`);
  const there = await readManifest(store, cluster, id);
  if (!isDeepStrictEqual(there, manifest)) throw new Error(`the manifest of ${id} was written, and another one was read back`);
}

/** The backup is there: its manifest is, and everything that it names. @throws ObjectMissing */
export async function commitBackup(store: StreamStore, manifest: BackupManifest): Promise<void> {
  for (const { key, object } of objectsOf(manifest)) {
    const found = await store.head(key);
    if (found?.bytes !== object.storedBytes)
      throw fatal(
        failures.objectMissing,
        `${key} was stored with ${object.storedBytes} bytes, and the bucket has ${found === undefined ? 'no such object' : `${found.bytes}`}: who else writes there?`,
      );
  }
  const { cluster, id } = manifest;
  if ((await readManifest(store, cluster, id)) === undefined) await write(store, manifest);
  // An attempt that was given up while it stood still here has written it when all else had been removed.
  const keys = new Set(await store.list(backupKeys.backup(cluster, id)));
  if (objectsOf(manifest).every(({ key }) => keys.has(key))) return;
  await store.remove(backupKeys.manifest(cluster, id));
  throw fatal(failures.objectMissing, `what was stored of ${id} has been removed, so it is no backup: who else works on ${cluster}?`);
}

/** The manifest says that it was verified, and how. */
export async function recordVerification(store: ObjectStore, cluster: string, id: string, verified: Verification): Promise<void> {
  await write(store, withVerification(await requireManifest(store, cluster, id), verified));
}

/** The manifest says that the backup cannot be relied on, and why. */
export async function recordDamage(store: ObjectStore, cluster: string, id: string, damaged: BackupDamage): Promise<void> {
  await write(store, withDamage(await requireManifest(store, cluster, id), damaged));
}

/**
 * Nothing lies in the backup's folder but what its manifest names; without a manifest nothing at all. Uploads that attempts began and did not end are given
 * up. Only while no attempt is at work.
 */
export async function discardUnnamed(store: StreamStore, cluster: string, id: string): Promise<{ readonly objects: number }> {
  const manifest = await readManifest(store, cluster, id);
  const named = new Set(manifest === undefined ? [] : [backupKeys.manifest(cluster, id), ...objectsOf(manifest).map(({ key }) => key)]);
  const prefix = backupKeys.backup(cluster, id);
  for (const upload of await store.listUploads(prefix)) await store.abortUpload(upload);
  const rest = (await store.list(prefix)).filter((key) => !named.has(key));
  await store.removeAll(rest);
  return { objects: rest.length };
}

/** The backup is held, or is not. One that is held already keeps its own word. */
export async function setHold(store: ObjectStore, cluster: string, id: string, wanted: BackupHold | undefined): Promise<void> {
  const { hold, ...manifest } = await requireManifest(store, cluster, id);
  if ((hold === undefined) === (wanted === undefined)) return;
  await write(store, { ...manifest, ...(wanted === undefined ? {} : { hold: wanted }) });
}
