import { activityInfo } from '@temporalio/activity';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { failures } from '../../config/failures.ts';
import { hostTaskQueue, lockWorkflowId } from '../../config/names.ts';
import { livePollers } from '../../config/pollers.ts';
import { temporalsClock } from '../support/awaited.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';

/** Who holds a cluster's lock. */
export interface LockHolder {
  readonly workflowId: string;
  readonly runId: string;
  readonly operation: string;
  /** The holder itself still runs; false in the moment between its end and the end of its lock. */
  readonly alive: boolean;
}

const notFound = (error: unknown): undefined => {
  if (error instanceof WorkflowNotFoundError) return undefined;
  throw error;
};

/** The identity that started this workflow, as the server recorded it. */
export async function startedBy(client: Client): Promise<string> {
  const { workflowExecution } = activityInfo();
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId: workflowExecution?.workflowId ?? '', runId: workflowExecution?.runId ?? '' },
    maximumPageSize: 1,
  });
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  // What a workflow has started has no identity but that one's.
  return started?.identity || started?.parentWorkflowExecution?.workflowId || 'unknown';
}

/** The operation that holds the cluster's lock, or undefined when nobody does. */
export async function findLockHolder(client: Client, cluster: string): Promise<LockHolder | undefined> {
  const lock = await client.workflow.getHandle(lockWorkflowId(cluster)).describe().catch(notFound);
  if (lock === undefined || lock.status.name !== 'RUNNING') return undefined;
  const parent = lock.parentExecution;
  // Somebody started it by hand: it holds the cluster all the same, until somebody ends it.
  if (parent?.workflowId === undefined || parent.workflowId === null)
    return { workflowId: lock.workflowId, runId: lock.runId, operation: 'a lock without an operation', alive: true };
  const holder = await client.workflow
    .getHandle(parent.workflowId, parent.runId ?? undefined)
    .describe()
    .catch(notFound);
  return {
    workflowId: parent.workflowId,
    runId: parent.runId ?? '',
    operation: holder?.type ?? 'an operation',
    alive: holder?.status.name === 'RUNNING',
  };
}

/**
 * Waits until nobody holds the lock. With `wait: false` only as long as a holder that has ended needs to let go.
 * @throws ClusterBusy naming the holder.
 */
export async function awaitLockFree(client: Client, cluster: string, wait: boolean): Promise<void> {
  await until(
    async () => {
      const holder = await findLockHolder(client, cluster);
      if (holder === undefined) return true;
      if (!wait && holder.alive) throw busy(cluster, holder);
      return undefined;
    },
    {
      timeoutMs: wait ? 7 * 86_400_000 : 30_000,
      everyMs: wait ? 2000 : 300,
      late: () => busy(cluster, { workflowId: lockWorkflowId(cluster), runId: '', operation: 'an operation', alive: false }),
    },
  );
}

const busy = (cluster: string, holder: LockHolder) =>
  fatal(
    failures.clusterBusy,
    `${holder.operation} works on ${cluster} (workflow ${holder.workflowId}): wait for it (--when-busy wait; in an input, whenBusy: "wait"), or look at it with holdfast operations show ${holder.workflowId}`,
    holder,
  );

/**
 * Some worker serves the host's task queue.
 * @throws HostUnreachable when none has asked for work lately: the operation would wait for ever without a word.
 */
export async function requireHostWorker(client: Client, host: string): Promise<void> {
  const now = await temporalsClock(client);
  await until(
    async () => {
      const { pollers } = await client.workflowService.describeTaskQueue({
        namespace: client.options.namespace,
        taskQueue: { name: hostTaskQueue(host) },
        taskQueueType: 2,
      });
      return livePollers(pollers, now()).length > 0 ? true : undefined;
    },
    {
      timeoutMs: 10_000,
      everyMs: 500,
      late: () =>
        fatal(
          failures.hostUnreachable,
          `no worker serves host ${host}: start one with HOLDFAST_HOST=${host}, or name another host in placement.hosts`,
        ),
    },
  );
}
