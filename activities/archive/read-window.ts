import type { RecoveryWindow } from '../../config/archive.ts';
import type { BackupManifest } from '../../config/backup.ts';
import type { Base } from '../../model/recovery/archive.ts';
import { recoveryWindow } from '../../model/recovery/window.ts';
import { listBackups, readManifest } from '../backup/catalogue.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { archivedShards, readArchive } from './read-archive.ts';

const MOST_BACKUPS = 10_000;

/** Where a cluster can be brought back to; also one that is gone. */
export async function readRecoveryWindow(store: ObjectStore, cluster: string): Promise<RecoveryWindow> {
  const [shards, backups] = await Promise.all([archivedShards(store, cluster), listBackups(store, cluster, MOST_BACKUPS)]);
  const manifests: BackupManifest[] = [];
  for (const { id } of shards.length === 0 ? [] : backups) {
    const manifest = await readManifest(store, cluster, id);
    if (manifest !== undefined) manifests.push(manifest);
  }
  const archives = [];
  for (const shard of shards) {
    const timelines = await readArchive(store, cluster, shard);
    const bases: readonly Base[] = [
      ...timelines.map(({ begin }) => ({ data: begin.base })),
      ...manifests.flatMap(({ id, shards: stored }) => stored.filter((one) => one.shard === shard).map((data) => ({ backup: id, data }))),
    ];
    archives.push({ shard, timelines, bases });
  }
  return recoveryWindow(cluster, archives);
}
