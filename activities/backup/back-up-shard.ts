import { randomBytes } from 'node:crypto';
import { cancellationSignal } from '@temporalio/activity';
import type Docker from 'dockerode';
import type { ShardBackup } from '../../config/backup.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import { type BackupSource, backupSources, chooseSource } from '../../model/backup-source.ts';
import { asFollower } from '../redis/connection.ts';
import { observe } from '../redis/observe.ts';
import { handshake } from '../replication/handshake.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { report } from '../support/beating.ts';
import { passing } from '../support/failure.ts';
import { attempt, refuseWhenCancelled } from '../support/until.ts';
import { storeRdb } from './store-rdb.ts';

export interface BackupDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
  readonly store: StreamStore;
  readonly hostName: string;
}

export interface ShardRequest {
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  /** Id of the backup. */
  readonly backup: string;
  readonly shard: number;
  /** The node that the plan names. When it cannot be read, or an attempt has failed, another one of the shard is. */
  readonly node: string;
  readonly fromPrimary: boolean;
}

/** How far a shard is; in the heartbeats. */
export interface ShardProgress {
  readonly shard: number;
  readonly node: string;
  readonly bytes: number;
}

/**
 * The shard's data lies in the bucket, sealed, under a key of this attempt's own. Read by the replication protocol as fast as the store takes it, through memory only.
 * @throws what passes: NodeAway when no node of the shard can be read now, ReplicationLost, StoreUnreachable
 */
export async function backUpShard(deps: BackupDeps, request: ShardRequest): Promise<ShardBackup> {
  const { secrets, store } = deps;
  const { spec, backup, shard } = request;
  const cluster = spec.name;
  const [held, ring] = await Promise.all([secrets.require(cluster), secrets.keyRing(cluster)]);
  const kek = await ring.current();
  const { source, slots } = await findSource(deps, request);
  const signal = cancellationSignal();
  const startedAt = new Date();
  const synced = await handshake(asFollower(held, spec.security.tls, source.address), { rdbOnly: true, signal });
  if (synced.how !== 'full') throw new Error('a server cannot go on where nothing was asked for');
  const key = backupKeys.shard(cluster, backup, shard, randomBytes(4).toString('hex'));
  const stored = await storeRdb(store, {
    readBack: true, // a backup is verified before it is called good
    synced,
    source,
    shard,
    slots,
    key,
    partOf: { cluster, backup },
    kek,
    signal,
    startedAt,
    progress: (bytes) => report({ shard, node: source.name, bytes } satisfies ShardProgress),
  });
  await removeUnlessAwaited(store, key);
  return stored;
}

/** Looks anew: since the plan a node may have died, or lead now; and one that is healthy may be unable to fork. */
async function findSource(deps: BackupDeps, request: ShardRequest): Promise<{ readonly source: BackupSource; readonly slots: string }> {
  const { spec, clusterId, shard, node, fromPrimary } = request;
  const observation = await observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] });
  const found = backupSources(spec, clusterId, observation)[shard];
  const source = found === undefined ? undefined : chooseSource(found, fromPrimary, { first: node, failed: attempt() - 1 });
  if (found !== undefined && source !== undefined) return { source, slots: found.slots };
  throw passing(
    failures.nodeAway,
    `shard ${shard} of ${spec.name} has no ${fromPrimary ? 'node' : 'healthy replica'} to read from now: holdfast status ${spec.name} shows why`,
  );
}

/** An attempt that was given up while it stored the last part leaves nothing: another one may have been counted by now. */
async function removeUnlessAwaited(store: StreamStore, key: string): Promise<void> {
  try {
    refuseWhenCancelled();
  } catch (error) {
    await store.remove(key);
    throw error;
  }
}
