import { type BackupManifest, isVerified } from '../../config/backup.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { latestOf, reachable, recoverAll } from '../../model/recovery/moment.ts';
import { type ClusterSource, type ShardSource, sourceOfBackup } from '../../model/recovery/shard-recovery.ts';
import { readRecoverable } from '../archive/read-recoverable.ts';
import { backupIds, findManifest } from '../backup/catalogue.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import { readRecord } from '../storage/cluster-records.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { findCut } from './find-cut.ts';

export interface SourceDeps {
  readonly store: StreamStore;
  readonly secrets: SecretStore;
}

/** Which data: of a backup, of a moment (ms since 1970), of the latest moment; or the newest there is, also where nothing is archived. */
export interface SourceRequest {
  readonly cluster: string;
  readonly which: { readonly backup: string } | { readonly atMs: number } | 'latest' | 'newest';
}

const SHARDS_AT_ONCE = 8;

/**
 * Where the data of a cluster, also of one that is gone, is to be read.
 * @throws BackupNotFound, NotRestorable with what can be reached
 */
export async function findSource(deps: SourceDeps, { cluster, which }: SourceRequest): Promise<ClusterSource> {
  const { store } = deps;
  if (typeof which === 'object' && 'backup' in which) return sourceOfBackup(await findManifest(store, cluster, which.backup));
  const { backups, shards } = await readRecoverable(store, cluster);
  const atMs = typeof which === 'object' ? which.atMs : latestOf(cluster, shards);
  const newest = backups.at(-1);
  if (which === 'newest' && newest !== undefined && (atMs === undefined || atMs < Date.parse(newest.startedAt)))
    return sourceOfBackup(newest);
  if (shards.length === 0 && (await backupIds(store, cluster)).length === 0 && (await readRecord(store, cluster)) === undefined)
    throw fatal(
      failures.clusterNotFound,
      `there is no cluster named ${cluster}, and nothing of one in the bucket: holdfast list shows those that are`,
    );
  if (atMs === undefined)
    throw fatal(
      failures.notRestorable,
      `there is no moment that every shard of ${cluster} can be brought back to. ${reachable(cluster, shards)}`,
    );
  const found = recoverAll(cluster, shards, atMs);
  if ('why' in found) throw fatal(failures.notRestorable, found.why);
  const ring = await deps.secrets.keyRing(cluster);
  const sources = await sideBySide(found.shards, SHARDS_AT_ONCE, async ({ shard, base, timeline, pieces, slots }): Promise<ShardSource> => {
    const { data, ...partOf } = base;
    const from = { shard, cluster, ...partOf, base: data, slots, atMoment: true };
    if (pieces.length === 0) return from;
    const cut = await findCut({ store, ring }, pieces, atMs);
    return {
      ...from,
      until: { timeline, atMs, reachedMs: cut.timeMs, bytes: cut.offset - data.offset, segments: pieces.length },
    };
  });
  const before = backups.filter(({ startedAt }) => Date.parse(startedAt) <= atMs);
  return {
    cluster,
    spec: await specOf(store, cluster, before, sources),
    what: `as it was at ${new Date(atMs).toISOString()}`,
    proven: sources.every(({ backup }) => backups.some((manifest) => manifest.id === backup && isVerified(manifest))),
    shards: sources,
  };
}

/** The spec that is on record, or that a backup has; with as many shards as there were. Of a cluster that left neither, what its servers tell. */
async function specOf(
  store: StreamStore,
  cluster: string,
  backups: readonly BackupManifest[],
  sources: readonly ShardSource[],
): Promise<Readonly<Record<string, unknown>>> {
  const mode: ClusterSpec['mode'] = sources.some(({ slots }) => slots !== '') ? 'cluster' : 'sentinel';
  const kept = (await readRecord(store, cluster))?.spec ?? backups.at(-1)?.spec;
  const { engine, version } = sources[0]?.base.server ?? { engine: 'valkey', version: '' };
  const told = { engine, version: version.split('.').slice(0, 2).join('.'), mode };
  return { ...(kept ?? told), ...(mode === 'cluster' ? { shards: sources.length } : {}) };
}
