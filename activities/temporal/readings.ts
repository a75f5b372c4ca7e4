import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { readingWorkflowIds } from '../../config/names.ts';
import type { Reading } from '../../model/recovery/readings.ts';
import { until } from '../support/until.ts';
import { findLockHolder } from './operations.ts';

/** Who reads what is stored of a cluster now. Asked of each by its id: Temporal's lists lag behind. */
export async function readingsOf(client: Client, cluster: string): Promise<readonly Reading[]> {
  const found = await Promise.all(
    readingWorkflowIds(cluster).map((id) =>
      client.workflow
        .getHandle(id)
        .describe()
        .catch((error: unknown) => {
          if (error instanceof WorkflowNotFoundError) return undefined;
          throw error;
        }),
    ),
  );
  return found.flatMap((one) => {
    const reading = one?.status.name === 'RUNNING' ? (one.memo?.reading as Reading | undefined) : undefined;
    return reading === undefined ? [] : [reading];
  });
}

const REMOVALS: readonly string[] = ['removeBackups', 'removeArchive', 'removeOrphans'];

/** No rotation removes anything that it chose before now: one that is removing has not seen yet who reads. */
export async function awaitRemovals(client: Client, cluster: string): Promise<void> {
  await until(
    async () => {
      const holder = await findLockHolder(client, cluster);
      if (holder?.operation !== 'rotate' || !holder.alive) return true;
      const { raw } = await client.workflow.getHandle(holder.workflowId, holder.runId).describe();
      return (raw.pendingActivities ?? []).every(({ activityType }) => !REMOVALS.includes(activityType?.name ?? '')) ? true : undefined;
    },
    {
      timeoutMs: REMOVALS_MS,
      everyMs: 500,
      late: () => new Error(`a rotation of ${cluster} has been removing for very long: holdfast operations list`),
    },
  );
}

/** One attempt; there are more. */
const REMOVALS_MS = 50_000;
