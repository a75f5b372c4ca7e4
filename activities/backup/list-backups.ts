import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { type Catalogued, manifestsOf } from './read-manifests.ts';

/** Backups of a cluster, newest first. What has no manifest is none, and is not shown; one whose manifest cannot be read is. */
export async function listBackups(store: ObjectStore, cluster: string, limit: number): Promise<readonly BackupSummary[]> {
  const found = await manifestsOf(store, cluster, { limit });
  return found.map((backup) => (backup.manifest === undefined ? unread(cluster, backup) : summarize(backup.manifest)));
}

/** When it was taken stands in the id; nothing else is known of it. */
function unread(cluster: string, { id, unreadable }: Extract<Catalogued, { readonly unreadable: string }>): BackupSummary {
  const [, day = '', time = ''] = /^(\d{8})T(\d{6})Z-/.exec(id) ?? [];
  const at = Date.parse(`${day.replace(/(....)(..)/, '$1-$2-')}T${time.replace(/(..)(..)/, '$1:$2:')}Z`);
  const startedAt = new Date(Number.isNaN(at) ? 0 : at).toISOString();
  return {
    ...{ id, cluster, held: false, startedAt, finishedAt: startedAt, server: '', shards: 0, keys: 0, plainBytes: 0, storedBytes: 0 },
    unreadable,
  };
}

function summarize(manifest: BackupManifest): BackupSummary {
  const { id, cluster, label, keepUntil, hold, startedAt, finishedAt, shards, verified, damaged } = manifest;
  const sum = (of: (shard: BackupManifest['shards'][number]) => number) => shards.reduce((total, shard) => total + of(shard), 0);
  const { engine, version } = shards[0]?.server ?? { engine: '', version: '' };
  return {
    id,
    cluster,
    ...(label === undefined ? {} : { label }),
    ...(keepUntil === undefined ? {} : { keepUntil }),
    held: hold !== undefined,
    startedAt,
    finishedAt,
    server: `${engine} ${version}`,
    shards: shards.length,
    keys: sum(({ keys }) => keys),
    plainBytes: sum(({ object }) => object.plainBytes),
    storedBytes: sum(({ object }) => object.storedBytes),
    ...(verified === undefined || damaged !== undefined ? {} : { proof: { how: verified.how, at: verified.at } }),
    ...(damaged === undefined ? {} : { damaged }),
  };
}
