import type { BackupManifest } from '../../config/backup.ts';
import { basesOf, isUsable } from '../../model/recovery/bases.ts';
import type { ShardArchive } from '../../model/recovery/window.ts';
import { manifestsOf } from '../backup/read-manifests.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { archivedShards, readArchive } from './read-archive.ts';

const SHARDS_AT_ONCE = 8;

/** All that a cluster can be brought back from. */
export interface Recoverable {
  /** Those that are usable, oldest first. */
  readonly backups: readonly BackupManifest[];
  readonly shards: readonly ShardArchive[];
}

/** What lies in the bucket of a cluster, also of one that is gone. Whoever offers moments and whoever brings them back ask here, so that they agree. */
export async function readRecoverable(store: ObjectStore, cluster: string): Promise<Recoverable> {
  const backups = await usableBackups(store, cluster);
  const shards = await sideBySide(await archivedShards(store, cluster), SHARDS_AT_ONCE, async (shard) => {
    const timelines = await readArchive(store, cluster, shard);
    return { shard, timelines, bases: basesOf(shard, timelines, backups) };
  });
  return { backups, shards };
}

/**
 * The backups that are usable, oldest first. Of all that there are: the one that the window begins at may lie behind any number of others that nobody could verify. The index has what was read
 * of them before.
 */
export async function usableBackups(store: ObjectStore, cluster: string): Promise<readonly BackupManifest[]> {
  const found = await manifestsOf(store, cluster);
  return found.flatMap(({ manifest }) => (manifest !== undefined && isUsable(manifest) ? [manifest] : [])).toReversed();
}
