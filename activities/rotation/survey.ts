import type { BackupManifest } from '../../config/backup.ts';
import { type ClusterSpec, clusterSpec, retention } from '../../config/cluster-spec.ts';
import { backupKeys } from '../../config/names.ts';
import type { RotationRow } from '../../config/rotation.ts';
import { planRotate, type RotationPlan } from '../../model/plan-rotate.ts';
import { retainArchive } from '../../model/recovery/archive-retention.ts';
import { beingMade, type Folder, findOrphans } from '../../model/recovery/orphans.ts';
import { backupsInUse, cutsBesides, type Reading } from '../../model/recovery/readings.ts';
import { proofOf, retain } from '../../model/recovery/retention.ts';
import { objectsOf } from '../backup/catalogue.ts';
import { type Catalogued, readManifests } from '../backup/read-manifests.ts';
import type { ObjectStore, StoredObject, StreamStore } from '../storage/object-store.ts';
import { listed, readShards } from './archived-shards.ts';

export interface RotationRequest {
  readonly cluster: string;
  readonly graceSeconds: number;
  /** The spec that holds; without one the newest backup's counts, and without that the defaults. */
  readonly spec?: ClusterSpec;
}

interface BackupFolder {
  readonly prefix: string;
  readonly id: string;
  readonly objects: readonly StoredObject[];
  /** Missing when there is no manifest; one that cannot be read stays. */
  readonly backup?: Catalogued;
}

/** What Temporal says of a cluster's data: who reads it, and whether it is archived now. */
export interface InUse {
  readonly readings: readonly Reading[];
  readonly archiving: boolean;
  /** By its clock, ms since 1970: a worker's may be wrong. @default this machine's */
  readonly nowMs?: number;
}

/** What a rotation removes, and why all else stays, by what lies in the bucket now. */
export async function planRotation(
  store: StreamStore,
  { cluster, graceSeconds, spec }: RotationRequest,
  { readings, archiving, nowMs = Date.now() }: InUse = { readings: [], archiving: false },
): Promise<RotationPlan> {
  const [folders, archive, ...uploads] = await Promise.all([
    readBackups(store, cluster),
    readShards(store, cluster),
    store.listUploads(backupKeys.backups(cluster)),
    store.listUploads(backupKeys.archives(cluster)),
  ]);
  const backups = folders.flatMap(({ backup }) => backup?.manifest ?? []);
  const { rules, windowDays } = rulesOf(spec, backups);
  const graceMs = graceSeconds * 1000;
  const trusted = backups.filter(
    (backup) => proofOf(backup) === 'loaded' || (rules.verify === 'checksum' && proofOf(backup) !== undefined),
  );
  const { cuts, needed } = retainArchive(archive.timelines, trusted, { nowMs, windowDays, archiving: spec?.pitr.enabled === true });
  const unreadable = folders
    .filter(({ backup }) => backup !== undefined && backup.manifest === undefined)
    .map(
      ({ id }): RotationRow => ({
        id,
        proof: 'unreadable',
        stays: true,
        why: ['its manifest cannot be read: another version wrote it, or it was altered'],
      }),
    );
  const inUse = new Map([...needed, ...backupsInUse(readings)]);
  const rows = retain(backups, { retention: rules.retention, asked: rules.verify, graceMs, nowMs, needed: inUse });
  const orphans = findOrphans(
    [...folders.map(backupFolder), ...archive.folders],
    uploads.flat().map(({ begunAt, ...upload }) => ({ ...upload, begunMs: begunAt.getTime() })),
    { nowMs, graceMs, ...(archiving ? { isBeingMade: beingMade(archive.folders) } : {}) },
  );
  return planRotate({
    cluster,
    exists: spec !== undefined || folders.length + archive.folders.length + uploads.flat().length > 0,
    rows: [...rows, ...unreadable].toSorted((a, b) => (a.id < b.id ? 1 : -1)),
    cuts: cutsBesides(cuts, readings),
    orphans,
  });
}

/** Backups outlive the cluster: what it asked for last is in its newest manifest. */
function rulesOf(spec: ClusterSpec | undefined, backups: readonly BackupManifest[]) {
  const newest = backups.toSorted((a, b) => (a.id < b.id ? 1 : -1))[0];
  const { backup, pitr } = spec ?? clusterSpec.safeParse(newest?.spec).data ?? {};
  return { rules: backup ?? { retention: retention.parse({}), verify: 'load' as const }, windowDays: pitr?.windowDays ?? 7 };
}

async function readBackups(store: ObjectStore, cluster: string): Promise<readonly BackupFolder[]> {
  const root = backupKeys.backups(cluster);
  const objects = await store.listObjects(root);
  const found = new Map((await readManifests(store, cluster, objects)).map((one) => [one.id, one]));
  // What lies beside the folders is of no backup: the report of the last drill, the index.
  const within = objects.filter(({ key }) => key.indexOf('/', root.length) > 0);
  const folders = Map.groupBy(within, ({ key }) => key.slice(root.length).split('/', 1)[0] ?? '');
  return [...folders].map(([id, its]): BackupFolder => {
    const backup = found.get(id);
    const folder = { prefix: backupKeys.backup(cluster, id), id, objects: its };
    return { ...folder, ...(backup === undefined ? {} : { backup }) };
  });
}

function backupFolder({ prefix, objects, backup }: BackupFolder): Folder {
  if (backup === undefined) return { prefix, objects: listed(objects) };
  const { manifest } = backup;
  const named = new Set(manifest === undefined ? [] : [...objectsOf(manifest).map(({ key }) => key), `${prefix}manifest.json`]);
  return { prefix, objects: listed(objects), named: (key) => manifest === undefined || named.has(key) };
}
