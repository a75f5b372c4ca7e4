import type { BackupManifest } from '../../config/backup.ts';
import { backupKeys } from '../../config/names.ts';
import type { ObjectStore, StoredObject } from '../storage/object-store.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { idsIn, parseOwnManifest } from './catalogue.ts';
import { type IndexedManifest, readIndex, versionOf, writeIndex } from './manifest-index.ts';

/** A backup that has a manifest: what that says, or why it cannot be read. */
export type Catalogued =
  | { readonly id: string; readonly manifest: BackupManifest }
  | { readonly id: string; readonly manifest?: never; readonly unreadable: string };

/** Manifests that are read at once: enough to hide the way to the bucket. */
const AT_ONCE = 32;
/** So few are read as fast by themselves as an index is. */
const FEW = 16;

export interface Wanted {
  /** So many of the newest. @default all */
  readonly limit?: number;
}

/** Backups of a cluster that have a manifest, newest first. */
export const manifestsOf = async (store: ObjectStore, cluster: string, wanted?: Wanted): Promise<readonly Catalogued[]> =>
  readManifests(store, cluster, await store.listObjects(backupKeys.backups(cluster)), wanted);

/** The backups in a listing of the whole of a cluster's folder, newest first. Those that are gone by now are left out. */
export async function readManifests(
  store: ObjectStore,
  cluster: string,
  listing: readonly StoredObject[],
  { limit = Number.POSITIVE_INFINITY }: Wanted = {},
): Promise<readonly Catalogued[]> {
  const all = manifestsIn(cluster, listing);
  const asked = all.slice(0, limit);
  const index = asked.length > FEW ? await readIndex(store, cluster) : new Map<string, IndexedManifest>();
  const readAnew = new Map<string, IndexedManifest>();
  const found = await sideBySide(asked, AT_ONCE, async ({ id, object }): Promise<Catalogued | undefined> => {
    const version = versionOf(object);
    const known = index.get(id);
    if (known !== undefined && known.version === version) return { id, manifest: known.manifest };
    const read = await store.read(object.key);
    if (read === undefined) return undefined;
    const parsed = parseOwnManifest(read.bytes, cluster, id);
    if ('unreadable' in parsed) return { id, ...parsed };
    // Replaced since the listing: then it is not what the listing tells of.
    if (version !== undefined && read.etag === object.etag) readAnew.set(id, { version, manifest: parsed.manifest });
    return { id, manifest: parsed.manifest };
  });
  if (asked.length > FEW && readAnew.size > 0) {
    const there = new Set(all.map(({ id }) => id));
    await writeIndex(store, cluster, new Map([...[...index].filter(([id]) => there.has(id)), ...readAnew]));
  }
  return found.flatMap((one) => one ?? []);
}

function manifestsIn(cluster: string, listing: readonly StoredObject[]) {
  const objects = new Map(listing.map((object) => [object.key, object]));
  return idsIn(cluster, [...objects.keys()]).flatMap((id) => {
    const object = objects.get(backupKeys.manifest(cluster, id));
    return object === undefined ? [] : [{ id, object }];
  });
}
