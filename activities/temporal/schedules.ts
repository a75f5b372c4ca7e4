import {
  type Client,
  ScheduleAlreadyRunning,
  type ScheduleDescription,
  ScheduleNotFoundError,
  ScheduleOverlapPolicy,
  type ScheduleUpdateOptions,
  WorkflowFailedError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { backupScheduleId, scheduledBackupWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { type BackupSchedule, type ScheduledRun, type ScheduleStatus, scheduleOf } from '../../config/schedules.ts';
import { canonicalJson } from '../../model/layout.ts';
import { messageOf } from '../support/failure.ts';

/** A run that could not begin for so long, since Temporal was away, does not begin any more: the next one does. */
const CATCH_UP = '1 hour';

function optionsOf(cluster: string, { schedule, timezone, jitterSeconds, paused }: BackupSchedule): ScheduleUpdateOptions {
  return {
    spec: { cronExpressions: [schedule], timezone, jitter: jitterSeconds * 1000 },
    action: {
      type: 'startWorkflow',
      workflowType: 'scheduledBackup',
      workflowId: scheduledBackupWorkflowId(cluster),
      taskQueue: WORKFLOW_TASK_QUEUE,
      args: [{ cluster }],
      // What it was made from: the server keeps cron fields only as calendars.
      memo: { cluster, madeFrom: { schedule, timezone, jitterSeconds } },
    },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: CATCH_UP, pauseOnFailure: false },
    state: { paused, note: paused ? 'backup.enabled is false in the spec' : '' },
  };
}

/** The cluster's schedule is there and as the spec says. One that is already so keeps its runs and their times. */
export async function ensureSchedule(client: Client, spec: ClusterSpec): Promise<{ readonly did: 'made' | 'changed' | 'found' }> {
  const { name } = spec;
  const wanted = scheduleOf(spec);
  const found = await describe(client, name);
  if (found !== undefined && canonicalJson(madeFrom(found)) === canonicalJson(wanted)) return { did: 'found' };
  const options = optionsOf(name, wanted);
  if (found === undefined) {
    try {
      await client.schedule.create({ ...options, scheduleId: backupScheduleId(name), memo: { cluster: name } });
      return { did: 'made' };
    } catch (error) {
      if (!(error instanceof ScheduleAlreadyRunning)) throw error; // else an attempt before this one has made it
    }
  }
  await client.schedule.getHandle(backupScheduleId(name)).update(() => options);
  return { did: 'changed' };
}

/** There is no schedule of the cluster. What it has started goes on. */
export async function removeSchedule(client: Client, cluster: string): Promise<void> {
  await client.schedule
    .getHandle(backupScheduleId(cluster))
    .delete()
    .catch((error: unknown) => {
      if (!(error instanceof ScheduleNotFoundError)) throw error;
    });
}

/** What the schedule was made from; null when there is none. */
export async function readSchedule(client: Client, cluster: string): Promise<BackupSchedule | null> {
  const found = await describe(client, cluster);
  return found === undefined ? null : madeFrom(found);
}

/** How the schedule is doing; null when there is none. */
export async function describeSchedule(client: Client, cluster: string): Promise<ScheduleStatus | null> {
  const found = await describe(client, cluster);
  if (found === undefined) return null;
  const { info, state } = found;
  const next = info.nextActionTimes.map((at) => at.getTime());
  const gaps = next.slice(1).map((at, before) => at - (next[before] ?? at));
  const lastRun = await lastRunOf(client, found);
  const [nextAt] = info.nextActionTimes;
  return {
    madeFrom: madeFrom(found),
    ...(state.note === undefined || state.note === '' ? {} : { note: state.note }),
    createdAt: info.createdAt.toISOString(),
    ...(nextAt === undefined || state.paused ? {} : { nextAt: nextAt.toISOString() }),
    ...(gaps.length === 0 ? {} : { longestGapMs: Math.max(...gaps) }),
    missed: info.numActionsMissedCatchupWindow,
    skipped: info.numActionsSkippedOverlap,
    ...(lastRun === undefined ? {} : { lastRun }),
  };
}

async function describe(client: Client, cluster: string): Promise<ScheduleDescription | undefined> {
  try {
    return await client.schedule.getHandle(backupScheduleId(cluster)).describe();
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return undefined;
    throw error;
  }
}

/** Of one that somebody made by hand nothing is known, so that it is made anew. */
function madeFrom({ action, state }: ScheduleDescription): BackupSchedule {
  const memo = action.type === 'startWorkflow' ? action.memo?.madeFrom : undefined;
  const { schedule = '', timezone = '', jitterSeconds = 0 } = (memo ?? {}) as Partial<BackupSchedule>;
  return { schedule, timezone, jitterSeconds, paused: state.paused };
}

async function lastRunOf(client: Client, { info }: ScheduleDescription): Promise<ScheduledRun | undefined> {
  const last = info.recentActions.at(-1);
  if (last === undefined) return undefined;
  const { workflowId, firstExecutionRunId } = last.action.workflow;
  const run = { workflowId, at: last.takenAt.toISOString() };
  const handle = client.workflow.getHandle(workflowId, firstExecutionRunId);
  try {
    const { status } = await handle.describe();
    if (status.name === 'RUNNING') return { ...run, outcome: 'running' };
    await handle.result();
    return { ...run, outcome: 'done' };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined; // its history is older than the namespace keeps
    if (error instanceof WorkflowFailedError) return { ...run, outcome: 'failed', reason: messageOf(error.cause ?? error) };
    throw error;
  }
}
