import { type BackupManifest, newBackupId } from '../../config/backup.ts';
import { backupKeys } from '../../config/names.ts';

/** What tests of retention share. */

export const DAY_MS = 86_400_000;
export const CLUSTER_ID = '00000000-0000-4000-8000-000000000001';
const SHA = '0'.repeat(64);
export const REPLID = 'a'.repeat(40);

let next = 0;
const unique = () => (next++).toString(16).padStart(8, '0');

/** A backup of one shard that began then. */
export function manifestOf(
  startedMs: number,
  {
    how = 'loaded',
    cluster = 'orders',
    offset = Math.floor(startedMs / 1000),
    replid = REPLID,
    ...more
  }: Partial<BackupManifest> & { readonly how?: 'opened' | 'loaded' | 'none'; readonly offset?: number; readonly replid?: string } = {},
): BackupManifest {
  const startedAt = new Date(startedMs).toISOString();
  const id = newBackupId(new Date(startedMs), unique());
  const object = {
    id: '0'.repeat(32),
    kek: `000001-${'0'.repeat(16)}`,
    plainBytes: 1,
    plainSha256: SHA,
    storedBytes: 1,
    storedSha256: SHA,
  };
  const server = { engine: 'valkey', version: '9.1.0' } as const;
  const shard = { shard: 0, key: backupKeys.shard(cluster, id, 0, '00000000'), object, replid, offset, slots: '0-16383' };
  return {
    format: 'holdfast-backup-1',
    id,
    cluster,
    clusterId: CLUSTER_ID,
    generation: 1,
    spec: { name: cluster },
    startedAt,
    finishedAt: new Date(startedMs + 60_000).toISOString(),
    shards: [{ ...shard, node: `${cluster}-0-1`, server, database: 0, keys: 1, functions: 0, startedAt, tookMs: 1000 }],
    ...(how === 'none' ? {} : { verified: { how, at: new Date(startedMs + 90_000).toISOString(), tookMs: 1, server, shards: [] } }),
    ...more,
  };
}
