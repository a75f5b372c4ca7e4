import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { RecoveryWindow } from '../../config/archive.ts';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import type { KeyReport } from '../../config/keys.ts';
import { keeperWorkflowId, listKeysWorkflowId, listWorkflowId, operationWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { JournalEntry } from '../../config/progress.ts';
import { type ClusterSummary, type KeeperDescription, keeperHandlers, type StatusReport } from '../../config/status.ts';
import { msOf } from '../../config/timestamps.ts';
import { ClusterNotKept, NoWorker, OperationNotFound } from './errors.ts';
import { shortUnique } from './operation-starter.ts';
import type { Temporal } from './temporal.ts';
import { noWorkerMessage } from './translate-errors.ts';

/** How often an answer that does not come is looked into. */
const LOOK_MS = 3_000;
/** A worker takes up its next task within milliseconds; one that lies for longer has nobody. */
const SUSPICIOUS_MS = 5_000;
/** PENDING_WORKFLOW_TASK_STATE_SCHEDULED: nobody has taken it yet. */
const TASK_SCHEDULED = 1;
/** A question that nobody took up ends by itself, so that it does not answer to nobody hours later. */
const QUESTION_TIMEOUT = '2 minutes';

/** Runs a workflow that only looks. @throws NoWorker, OperationFailed */
async function ask<T>(temporal: Temporal, type: string, workflowId: string, input: unknown, memo?: Record<string, unknown>): Promise<T> {
  const handle = await temporal.call(workflowId, (client) =>
    client.workflow.start(type, {
      workflowId,
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowExecutionTimeout: QUESTION_TIMEOUT,
      args: [input],
      ...(memo === undefined ? {} : { memo }),
    }),
  );
  const watching = new AbortController();
  const nobody = noticeSilence(temporal, handle, watching.signal);
  const answer = temporal.call(workflowId, () => handle.result() as Promise<T>);
  try {
    return await Promise.race([answer, nobody]);
  } catch (error) {
    answer.catch(() => undefined); // when nobody answers, what the wait throws later is of no interest
    throw error;
  } finally {
    watching.abort();
  }
}

/** Rejects as soon as it is plain that no worker takes up a workflow; else never settles. */
async function noticeSilence(temporal: Temporal, handle: WorkflowHandle, signal: AbortSignal): Promise<never> {
  const begun = performance.now();
  for (;;) {
    await sleep(LOOK_MS, undefined, { ref: false });
    if (signal.aborted) return new Promise<never>(() => undefined);
    const { raw, startTime } = await temporal.call(handle.workflowId, () => handle.describe());
    const { state, scheduledTime } = raw.pendingWorkflowTask ?? {};
    const now = startTime.getTime() + performance.now() - begun; // by Temporal's clock: the one here may be wrong
    const waitingMs = now - (msOf(scheduledTime) || now);
    // A worker that was killed is still counted for a minute, so what nobody took up tells more.
    if ((state === TASK_SCHEDULED && waitingMs > SUSPICIOUS_MS) || !(await temporal.hasWorker(now))) throw new NoWorker(noWorkerMessage);
  }
}

/** What is true of a cluster now, asked of every node. */
export const askStatus = (temporal: Temporal, cluster: string) =>
  ask<StatusReport>(temporal, 'status', operationWorkflowId(cluster, 'status', shortUnique()), { cluster }, { cluster });

/** Every cluster that a keeper, an engine or the object store knows. */
export const askList = (temporal: Temporal) => ask<readonly ClusterSummary[]>(temporal, 'list', listWorkflowId(shortUnique()), {});

/** What is sealed under which master key, of every cluster. */
export const askKeys = (temporal: Temporal) => ask<KeyReport>(temporal, 'listKeys', listKeysWorkflowId(shortUnique()), {});

/** The backups of a cluster, newest first. */
export const askBackups = (temporal: Temporal, cluster: string, limit?: number) =>
  ask<readonly BackupSummary[]>(
    temporal,
    'listBackups',
    operationWorkflowId(cluster, 'list-backups', shortUnique()),
    { cluster, limit },
    { cluster },
  );

/** One backup. @throws BackupNotFound, InvalidInput */
export const askBackup = (temporal: Temporal, cluster: string, backup: string) =>
  ask<BackupManifest>(temporal, 'showBackup', operationWorkflowId(cluster, 'show-backup', shortUnique()), { cluster, backup }, { cluster });

/** Where a cluster can be brought back to, and every gap. */
export const askRecoveryWindow = (temporal: Temporal, cluster: string) =>
  ask<RecoveryWindow>(temporal, 'recoveryWindow', operationWorkflowId(cluster, 'recovery-window', shortUnique()), { cluster }, { cluster });

async function askKeeper<T>(temporal: Temporal, cluster: string, query: string): Promise<T> {
  const id = keeperWorkflowId(cluster);
  try {
    // One that was closed, with the cluster gone, would answer queries all the same.
    const { status } = await temporal.call(id, (client) => client.workflow.getHandle(id).describe());
    if (status.name !== 'RUNNING') throw new OperationNotFound(`${id} has ended`);
    return await temporal.call(id, (client) => client.workflow.getHandle(id).query<T>(query), { workerWithinMs: 10_000 });
  } catch (error) {
    if (error instanceof OperationNotFound)
      throw new ClusterNotKept(`No cluster "${cluster}" is kept here. See: holdfast list`, { cause: error });
    throw error;
  }
}

/** The spec that a cluster's keeper holds. @throws ClusterNotKept */
export const describeCluster = (temporal: Temporal, cluster: string) =>
  askKeeper<KeeperDescription>(temporal, cluster, keeperHandlers.describe);

/** The operations of a cluster, newest last. @throws ClusterNotKept */
export const readJournal = (temporal: Temporal, cluster: string) =>
  askKeeper<readonly JournalEntry[]>(temporal, cluster, keeperHandlers.journal);
