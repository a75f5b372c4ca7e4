import { backupKeys } from '../../config/names.ts';
import { type ArchiveCut, baseGoes } from '../../model/recovery/archive-retention.ts';
import type { Orphans } from '../../model/recovery/orphans.ts';
import { backupsInUse, type Reading } from '../../model/recovery/readings.ts';
import { readManifest } from '../backup/catalogue.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { report } from '../support/beating.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { readShards } from './archived-shards.ts';

/** Manifests that are read at once. */
const AT_ONCE = 16;
/** So many backups lose their manifests at once, right after each was looked at. */
const BACKUPS_AT_ONCE = 100;
/** Removed with one call: few enough that it answers soon. */
const OBJECTS_AT_ONCE = 500;

/** `kept`: backups that somebody holds or reads by now. */
export interface RemovedBackups {
  readonly removed: number;
  readonly kept: readonly string[];
}

/**
 * These backups are gone: the manifest of each first, so that none is ever there in part. What an earlier attempt has removed counts as removed.
 * @param now ms since 1970
 */
export async function removeBackups(
  store: StreamStore,
  cluster: string,
  ids: readonly string[],
  readings: readonly Reading[] = [],
  now: () => number = Date.now,
): Promise<RemovedBackups> {
  const kept: string[] = [];
  const read = backupsInUse(readings);
  const gone: string[] = [];
  for (let at = 0; at < ids.length; at += BACKUPS_AT_ONCE) {
    const some = ids.slice(at, at + BACKUPS_AT_ONCE);
    const held = new Set(
      (await sideBySide(some, AT_ONCE, async (id) => (read.has(id) ? id : mustStay(store, { cluster, id, nowMs: now() })))).flatMap(
        (id) => id ?? [],
      ),
    );
    const going = some.filter((id) => !held.has(id));
    refuseWhenCancelled();
    await store.removeAll(going.map((id) => backupKeys.manifest(cluster, id)));
    kept.push(...held);
    gone.push(...going);
    report({ removed: gone.length });
  }
  const root = backupKeys.backups(cluster);
  const prefixes = new Set(gone.map((id) => backupKeys.backup(cluster, id)));
  const ofThose = ({ key }: { readonly key: string }) => prefixes.has(key.slice(0, key.indexOf('/', root.length) + 1));
  await sideBySide((await store.listUploads(root)).filter(ofThose), AT_ONCE, (upload) => store.abortUpload(upload));
  await removeInOrder(
    store,
    (await store.listObjects(root)).filter(ofThose).map(({ key }) => key),
  );
  return { removed: gone.length, kept };
}

/** Its plan may be as old as an approval takes, and a hold that is there now counts, whoever put it there. @returns the id when it stays */
async function mustStay(
  store: StreamStore,
  { cluster, id, nowMs }: { readonly cluster: string; readonly id: string; readonly nowMs: number },
): Promise<string | undefined> {
  refuseWhenCancelled();
  const manifest = await readManifest(store, cluster, id);
  return manifest?.hold !== undefined || Date.parse(manifest?.keepUntil ?? '') > nowMs ? id : undefined;
}

/** Many with each call. What is cut off has removed the first of them. */
async function removeInOrder(store: StreamStore, keys: readonly string[], told: (count: number) => void = () => undefined): Promise<void> {
  for (let at = 0; at < keys.length; at += OBJECTS_AT_ONCE) {
    refuseWhenCancelled();
    const some = keys.slice(at, at + OBJECTS_AT_ONCE);
    await store.removeAll(some);
    told(some.length);
  }
}

/**
 * What the window does not need is gone. Of a whole timeline `begin.json` goes first: without it there is no timeline. Of another one the writes go before the base that they follow: while one of them is there the
 * base can be asked for, and afterwards nobody begins with it. @returns how many objects are gone by this
 */
export async function removeArchive(
  store: StreamStore,
  cluster: string,
  cuts: readonly ArchiveCut[],
): Promise<{ readonly objects: number }> {
  let objects = 0;
  const removeAll = (keys: readonly string[]): Promise<void> =>
    removeInOrder(store, keys, (count) => {
      objects += count;
      report({ objects });
    });
  const { timelines, folders } = await readShards(store, cluster);
  for (const { shard, timeline: id, before } of cuts) {
    const prefix = backupKeys.timeline(cluster, shard, id);
    const keys = (folders.find((folder) => folder.prefix === prefix)?.objects ?? []).map(({ key }) => key);
    const timeline = timelines.find(({ begin }) => begin.id === id && begin.shard === shard);
    const begin = backupKeys.begin(cluster, shard, id);
    if (before === undefined) {
      await removeAll([begin]);
      await removeAll(keys.filter((key) => key !== begin));
      continue;
    }
    if (timeline === undefined) continue; // it is gone, and what is left of it has no owner
    const segments = timeline.segments.filter(({ endOffset }) => endOffset <= before);
    await removeAll(segments.toSorted((a, b) => a.startOffset - b.startOffset).map(backupKeys.segment));
    const base = timeline.begin.base.key;
    if (baseGoes(timeline, before) && keys.includes(base)) await removeAll([base]);
  }
  return { objects };
}

/** What nobody owns is gone; unless somebody owns it by now. */
export async function removeOrphans(store: StreamStore, { folders, objects, uploads }: Orphans): Promise<{ readonly objects: number }> {
  let removed = 0;
  await sideBySide(uploads, AT_ONCE, async (upload) => {
    refuseWhenCancelled();
    await store.abortUpload(upload);
    removed += 1;
  });
  const rest: string[] = [...objects];
  for (const prefix of folders) {
    const keys = await store.list(prefix);
    const owned = keys.some((key) => key === `${prefix}manifest.json` || key === `${prefix}begin.json`);
    if (!owned || keys.length === 1) rest.push(...keys);
  }
  await removeInOrder(store, rest, (count) => {
    removed += count;
    report({ removed });
  });
  return { objects: removed };
}

/** Ids of those backups that are not there. */
export async function missingBackups(store: StreamStore, cluster: string, ids: readonly string[]): Promise<readonly string[]> {
  const keys = new Set(await store.list(backupKeys.backups(cluster)));
  return ids.filter((id) => !keys.has(backupKeys.manifest(cluster, id)));
}
