import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { archiveHandlers, type ShardArchiveProgress } from '../../config/archive.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { archiveWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { msOf } from '../../config/timestamps.ts';
import { asHeardAt } from '../../model/archive-status.ts';

const absent = (error: unknown): undefined => {
  if (error instanceof WorkflowNotFoundError) return undefined;
  throw error;
};

/** The archive runs if the spec says so, and looks at it. One that runs and is not wanted any more ends by itself when it has looked. */
export async function tellArchive(client: Client, { name, pitr }: ClusterSpec): Promise<void> {
  const workflowId = archiveWorkflowId(name);
  if (pitr.enabled)
    await client.workflow.signalWithStart('archive', {
      workflowId,
      taskQueue: WORKFLOW_TASK_QUEUE,
      args: [{ cluster: name }],
      signal: archiveHandlers.changed,
      memo: { cluster: name },
      staticSummary: `archives the writes of ${name}`,
    });
  else await client.workflow.getHandle(workflowId).signal(archiveHandlers.changed).catch(absent);
}

/** Ends the archive and waits for its end. One that is gone is no error. */
export async function stopArchive(client: Client, cluster: string): Promise<void> {
  const handle = client.workflow.getHandle(archiveWorkflowId(cluster));
  const told = await handle.signal(archiveHandlers.stop).then(() => true, absent);
  if (told === true) await handle.result().catch(absent);
}

/** Whether the cluster is archived now, or waits to be. */
export const archiveRuns = async (client: Client, cluster: string): Promise<boolean> =>
  (await client.workflow.getHandle(archiveWorkflowId(cluster)).describe().catch(absent))?.status.name === 'RUNNING';

/** What every shard's activity said with its last heartbeat; empty when the archive does not run. */
export async function readArchiveProgress(
  client: Client,
  cluster: string,
): Promise<{ readonly runningSinceMs?: number; readonly shards: readonly ShardArchiveProgress[] }> {
  const found = await client.workflow.getHandle(archiveWorkflowId(cluster)).describe().catch(absent);
  if (found?.status.name !== 'RUNNING') return { shards: [] };
  const { payloadConverter } = client.options.loadedDataConverter;
  const said = (found.raw.pendingActivities ?? []).flatMap(({ heartbeatDetails, lastHeartbeatTime }): readonly ShardArchiveProgress[] => {
    const [payload] = heartbeatDetails?.payloads ?? [];
    const progress = payload === undefined ? undefined : payloadConverter.fromPayload<unknown>(payload);
    return isProgress(progress) ? [asHeardAt(progress, msOf(lastHeartbeatTime))] : [];
  });
  return { runningSinceMs: found.startTime.getTime(), shards: said };
}

const isProgress = (value: unknown): value is ShardArchiveProgress =>
  typeof value === 'object' && value !== null && 'shard' in value && 'atMs' in value;
