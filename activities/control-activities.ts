import type { Client } from '@temporalio/client';
import type { BackupDamage, BackupHold, BackupManifest, Verification } from '../config/backup.ts';
import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { JournalEntry } from '../config/progress.ts';
import type { DrillReport, RestoreMark } from '../config/restore.ts';
import type { KnownCluster } from '../model/known-cluster.ts';
import type { ArchiveCut } from '../model/recovery/archive-retention.ts';
import type { Orphans } from '../model/recovery/orphans.ts';
import { cutsBesides } from '../model/recovery/readings.ts';
import { endTimelines } from './archive/end-timelines.ts';
import { readRecoveryWindow } from './archive/read-window.ts';
import { readBackupStatus } from './backup/backup-status.ts';
import { backupIds, commitBackup, discardUnnamed, findManifest, recordDamage, recordVerification, setHold } from './backup/catalogue.ts';
import { listBackups } from './backup/list-backups.ts';
import { checkKeys, listKeys, makeKey, rewrapKeys, surveyKeys } from './backup/rotate-keys.ts';
import { readDrill, writeDrill } from './restore/drills.ts';
import { findSource, type SourceRequest } from './restore/find-source.ts';
import { beginRestore, endRestore, readRestore } from './restore/restore-marks.ts';
import { missingBackups, removeArchive, removeBackups, removeOrphans } from './rotation/remove.ts';
import { planRotation, type RotationRequest } from './rotation/survey.ts';
import type { SecretStore } from './secrets/secret-store.ts';
import { asOfNow, listRecords, readRecord, removeRecord, writeRecord } from './storage/cluster-records.ts';
import type { StreamStore } from './storage/object-store.ts';
import { askIfAwaited, temporalsClock } from './support/awaited.ts';
import { beating } from './support/beating.ts';
import { archiveRuns, readArchiveProgress, stopArchive, tellArchive } from './temporal/archive.ts';
import { type Acceptance, acceptSpec, closeKeeper, describeKeeper, readJournal, recordInJournal } from './temporal/keeper.ts';
import { awaitLockFree, findLockHolder, requireHostWorker, startedBy } from './temporal/operations.ts';
import { awaitRemovals, readingsOf } from './temporal/readings.ts';
import { ensureSchedule, readSchedule, removeSchedule } from './temporal/schedules.ts';

export interface ControlDeps {
  readonly client: Client;
  readonly store: StreamStore;
  readonly secrets: SecretStore;
  /** Whether the namespace has Holdfast's search attributes; setting one that it does not have would block a workflow for ever. */
  readonly searchAttributes: () => Promise<boolean>;
}

/** What an operation needs to know of itself before it begins. */
export interface OperationContext {
  readonly by: string;
  readonly searchAttributes: boolean;
}

/** Records, secrets and Temporal itself: what any worker can do, wherever it runs. */
export function createControlActivities({ client, store, secrets, searchAttributes }: ControlDeps) {
  async function readCluster(cluster: string): Promise<KnownCluster> {
    const [keeper, record, held, restoring] = await Promise.all([
      describeKeeper(client, cluster),
      readRecord(store, cluster),
      secrets.read(cluster),
      readRestore(store, cluster),
    ]);
    const found = keeper ?? record;
    return {
      ...(held === undefined ? {} : { clusterId: held.clusterId, host: held.host }),
      ...(found === undefined ? {} : { spec: asOfNow(found.spec) }),
      generation: found?.generation ?? 0,
      source: keeper !== undefined ? 'keeper' : record !== undefined ? 'record' : 'none',
      ...(restoring === undefined ? {} : { restoring }),
    };
  }

  return beating({
    openOperation: async (): Promise<OperationContext> => {
      const [by, ready] = await Promise.all([startedBy(client), searchAttributes()]);
      return { by, searchAttributes: ready };
    },
    requireHostWorker: (host: string) => requireHostWorker(client, host),
    /** The lock's holder lets go in a moment; else ClusterBusy. */
    requireLockFree: (cluster: string) => awaitLockFree(client, cluster, false),
    findLockHolder: (cluster: string) => findLockHolder(client, cluster),
    readCluster,
    readJournal: (cluster: string) => readJournal(client, cluster),
    listRecords: () => listRecords(store),
    ensureSecrets: (spec: ClusterSpec) => secrets.ensure(spec),
    /** What the cluster was made with is gone, and so is the cluster. */
    removeSecrets: async (cluster: string): Promise<void> => {
      await secrets.remove(cluster);
      await endRestore(store, cluster);
    },
    beginRestore: (mark: RestoreMark) => beginRestore(store, mark),
    removeRecord: (cluster: string) => removeRecord(store, cluster),
    /** The spec holds: it is in the bucket, and the keeper has it. The bucket first: it outlives Temporal's database. */
    acceptSpec: async (spec: ClusterSpec, generation: number): Promise<void> => {
      const earlier = await readRecord(store, spec.name);
      const acceptedAt = earlier?.generation === generation ? earlier.acceptedAt : new Date().toISOString();
      const acceptance: Acceptance = { spec, generation, acceptedAt };
      await writeRecord(store, acceptance);
      await endRestore(store, spec.name);
      await acceptSpec(client, acceptance, await searchAttributes());
      await tellArchive(client, spec);
    },
    recordInJournal: (cluster: string, entry: JournalEntry) => recordInJournal(client, cluster, entry),
    /** No record of the spec in the bucket, and no keeper. The secrets are another matter. */
    forgetCluster: async (cluster: string): Promise<void> => {
      await removeRecord(store, cluster);
      await closeKeeper(client, cluster);
    },
    commitBackup: (manifest: BackupManifest) => commitBackup(store, manifest),
    recordVerification: (cluster: string, backup: string, verified: Verification) => recordVerification(store, cluster, backup, verified),
    recordDamage: (cluster: string, backup: string, damaged: BackupDamage) => recordDamage(store, cluster, backup, damaged),
    /** Nothing of a backup lies in the bucket but what its manifest names; nothing at all, without one. */
    discardBackup: (cluster: string, backup: string) => discardUnnamed(store, cluster, backup),
    listBackups: (cluster: string, limit: number) => listBackups(store, cluster, limit),
    readBackup: (cluster: string, backup: string) => findManifest(store, cluster, backup),
    readArchiveProgress: (cluster: string) => readArchiveProgress(client, cluster),
    readRecoveryWindow: (cluster: string) => readRecoveryWindow(store, cluster),
    findSource: (request: SourceRequest) => findSource({ store, secrets }, request),
    recordDrill: (report: DrillReport) => writeDrill(store, report),
    readDrill: (cluster: string) => readDrill(store, cluster),
    setHold: (cluster: string, backup: string, hold: BackupHold | undefined) => setHold(store, cluster, backup, hold),
    /** No rotation goes on removing what it chose before it could see who reads. */
    awaitRemovals: (cluster: string) => awaitRemovals(client, cluster),
    planRotation: async (request: RotationRequest) => {
      const { cluster } = request;
      const [readings, archiving, now] = await Promise.all([
        readingsOf(client, cluster),
        archiveRuns(client, cluster),
        temporalsClock(client),
      ]);
      return planRotation(store, request, { readings, archiving, nowMs: now() });
    },
    removeBackups: async (cluster: string, ids: readonly string[]) =>
      removeBackups(store, cluster, ids, await readingsOf(client, cluster), await temporalsClock(client)),
    removeArchive: async (cluster: string, cuts: readonly ArchiveCut[]) =>
      removeArchive(store, cluster, cutsBesides(cuts, await readingsOf(client, cluster))),
    removeOrphans: (orphans: Orphans) => removeOrphans(store, orphans),
    missingBackups: (cluster: string, ids: readonly string[]) => missingBackups(store, cluster, ids),
    surveyKeys: (cluster: string) => surveyKeys({ secrets }, cluster),
    listKeys: () => listKeys({ store, secrets }),
    makeKey: (cluster: string, under: string, wish: string) => makeKey({ secrets }, cluster, under, wish),
    rewrapKeys: (cluster: string, under: string) => rewrapKeys({ secrets }, cluster, under),
    checkKeys: (cluster: string, under: string) => checkKeys({ secrets }, cluster, under),
    /** The schedule of its backups is as the spec says. */
    ensureSchedule: (spec: ClusterSpec) => ensureSchedule(client, spec),
    removeSchedule: (cluster: string) => removeSchedule(client, cluster),
    readSchedule: (cluster: string) => readSchedule(client, cluster),
    readBackupStatus: (cluster: string) => readBackupStatus(client, store, cluster),
    countBackups: async (cluster: string) => (await backupIds(store, cluster)).length,
    closeKeeper: (cluster: string) => closeKeeper(client, cluster),
    /** Nothing is archived of the cluster any more. */
    stopArchive: (cluster: string) => stopArchive(client, cluster),
    /** What was archived of the shards from this number on has an end. */
    endTimelines: (cluster: string, because: 'switched-off' | 'removed', fromShard: number) =>
      endTimelines(store, cluster, { because, fromShard, confirm: askIfAwaited(client) }),
  });
}

export type ControlActivities = ReturnType<typeof createControlActivities>;

/** Waits that may take days, on a queue of their own: they must not take the places of those activities that end them. */
export const createWaitingActivities = (client: Client) =>
  beating({ awaitLockFree: (cluster: string) => awaitLockFree(client, cluster, true) });

export type WaitingActivities = ReturnType<typeof createWaitingActivities>;
