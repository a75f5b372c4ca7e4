import { activityInfo } from '@temporalio/activity';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { msOf } from '../../config/timestamps.ts';

const ANSWER_WITHIN_MS = 3000;

/** Calls Temporal for an activity that was cancelled and has not ended: the SDK ends every call that is made in it by then. */
export const thoughCancelled = <T>(client: Client, call: () => Promise<T>): Promise<T> =>
  client.withAbortSignal(AbortSignal.timeout(ANSWER_WITHIN_MS), call);

/** What Temporal knows of the activity that runs here; undefined when it has ended, or its workflow has. */
async function pendingHere(client: Client) {
  const { activityId, workflowExecution } = activityInfo();
  const { workflowId, runId } = workflowExecution ?? { workflowId: '', runId: '' };
  try {
    const { raw } = await client.withDeadline(Date.now() + ANSWER_WITHIN_MS, () => client.workflow.getHandle(workflowId, runId).describe());
    return raw.pendingActivities?.find((pending) => pending.activityId === activityId);
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** Asks whether Temporal waits for the attempt of an activity that runs here: not when it has given it up, or its workflow has ended. */
export function askIfAwaited(client: Client): () => Promise<boolean> {
  const { attempt } = activityInfo();
  return async () => (await pendingHere(client))?.attempt === attempt;
}

/** Temporal's clock, in ms since 1970, by when it gave this attempt to its worker: the clock here may be wrong. */
export async function temporalsClock(client: Client): Promise<() => number> {
  const begun = performance.now();
  const startedMs = msOf((await pendingHere(client))?.lastStartedTime);
  return () => (startedMs === 0 ? Date.now() : startedMs + performance.now() - begun);
}

/** Longer than an attempt lies on its way to a worker that is well, and shorter than Temporal waits for its first heartbeat. */
const ON_ITS_WAY_MS = 4000;

/**
 * A worker that was frozen, or whose machine slept, is given work meanwhile, and begins with it when it wakes up: long after others have done it, and perhaps what comes after it. One that was long on its way, or
 * was sent by another clock, asks first.
 */
export async function isTooLate(client: () => Client): Promise<boolean> {
  const { currentAttemptScheduledTimestampMs: scheduledMs } = activityInfo();
  if (Math.abs(Date.now() - scheduledMs) < ON_ITS_WAY_MS) return false;
  return !(await askIfAwaited(client())());
}
