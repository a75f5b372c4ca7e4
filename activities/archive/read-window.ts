import type { RecoveryWindow } from '../../config/archive.ts';
import type { Base } from '../../model/recovery/archive.ts';
import { recoveryWindow } from '../../model/recovery/window.ts';
import { manifestsOf } from '../backup/read-manifests.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { archivedShards, readArchive } from './read-archive.ts';

/** Where a cluster can be brought back to; also one that is gone. */
export async function readRecoveryWindow(store: ObjectStore, cluster: string): Promise<RecoveryWindow> {
  const shards = await archivedShards(store, cluster);
  const backups = shards.length === 0 ? [] : await manifestsOf(store, cluster);
  const manifests = backups.flatMap(({ manifest }) => manifest ?? []); // nothing can be built on one that cannot be read
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
