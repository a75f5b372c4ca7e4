import { type BackupManifest, isVerified } from '../../config/backup.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { Base } from '../../model/recovery/archive.ts';
import { latestOf, reachable, recoverAll } from '../../model/recovery/moment.ts';
import { type ClusterSource, type ShardSource, sourceOfBackup } from '../../model/recovery/shard-recovery.ts';
import type { ShardArchive } from '../../model/recovery/window.ts';
import { archivedShards, readArchive } from '../archive/read-archive.ts';
import { findManifest } from '../backup/catalogue.ts';
import { manifestsOf } from '../backup/read-manifests.ts';
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

/** Backups that are looked at as bases: the newest so many before the moment. */
const MOST_BACKUPS = 20;
const SHARDS_AT_ONCE = 8;

/**
 * Where the data of a cluster, also of one that is gone, is to be read.
 * @throws BackupNotFound, NotRestorable with what can be reached
 */
export async function findSource(deps: SourceDeps, { cluster, which }: SourceRequest): Promise<ClusterSource> {
  const { store } = deps;
  if (typeof which === 'object' && 'backup' in which) return sourceOfBackup(await findManifest(store, cluster, which.backup));
  const backups = await backupsBefore(deps, cluster, typeof which === 'object' ? which.atMs : Number.POSITIVE_INFINITY);
  const shards = await sideBySide(await archivedShards(store, cluster), SHARDS_AT_ONCE, (shard) =>
    archivedShard(deps, cluster, shard, backups),
  );
  const atMs = typeof which === 'object' ? which.atMs : latestOf(cluster, shards);
  const newest = backups.at(-1);
  if (which === 'newest' && newest !== undefined && (atMs === undefined || atMs < Date.parse(newest.startedAt)))
    return sourceOfBackup(newest);
  if (shards.length === 0 && newest === undefined && (await readRecord(store, cluster)) === undefined)
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
  return {
    cluster,
    spec: await specOf(store, cluster, backups, sources),
    what: `as it was at ${new Date(atMs).toISOString()}`,
    proven: sources.every(({ backup }) => backups.some((manifest) => manifest.id === backup && isVerified(manifest))),
    shards: sources,
  };
}

async function backupsBefore({ store }: SourceDeps, cluster: string, atMs: number): Promise<readonly BackupManifest[]> {
  const until = Number.isFinite(atMs) ? new Date(atMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '') : '~';
  const newest = await manifestsOf(store, cluster, {
    limit: MOST_BACKUPS,
    among: (id) => id.slice(0, 15) <= until,
  });
  // What nobody has even opened, was found damaged or cannot be read is no base: the archive has one of its own.
  return newest
    .flatMap(({ manifest }) => (manifest?.verified === undefined || manifest.damaged !== undefined ? [] : [manifest]))
    .toReversed();
}

async function archivedShard(
  { store }: SourceDeps,
  cluster: string,
  shard: number,
  backups: readonly BackupManifest[],
): Promise<ShardArchive> {
  const timelines = await readArchive(store, cluster, shard);
  const bases: readonly Base[] = [
    ...timelines.map(({ begin }) => ({ timeline: begin.id, data: begin.base })),
    ...backups.flatMap(({ id, shards }) => shards.filter((one) => one.shard === shard).map((data) => ({ backup: id, data }))),
  ];
  return { shard, timelines, bases };
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
