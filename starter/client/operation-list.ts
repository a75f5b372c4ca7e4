import type { Client, WorkflowExecutionInfo } from '@temporalio/client';
import { operationNames } from '../../config/operations.ts';
import { operationHandlers, type Progress } from '../../config/progress.ts';
import type { Temporal } from './temporal.ts';

export type OperationState = 'running' | 'done' | 'failed' | 'cancelled' | 'terminated' | 'timed out';

/** An operation as Temporal's list knows it. */
export interface OperationSummary {
  readonly workflowId: string;
  readonly runId: string;
  readonly operation: string;
  /** Undefined when a person started it by hand and it has not yet said which cluster it is about. */
  readonly cluster: string | undefined;
  readonly state: OperationState;
  /** It runs, and stands between two steps until it is resumed. */
  readonly paused?: true;
  /** It only made a plan. Known of operations that this client started. */
  readonly dryRun: boolean;
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly tookMs?: number;
}

export interface ListFilter {
  readonly cluster?: string;
  readonly state?: OperationState;
  /** Also those that only made a plan. Default false. */
  readonly dryRuns?: boolean;
  /** Default 50, newest first. */
  readonly limit?: number;
}

const states: Readonly<Record<string, OperationState>> = {
  RUNNING: 'running',
  COMPLETED: 'done',
  FAILED: 'failed',
  CANCELLED: 'cancelled',
  TERMINATED: 'terminated',
  TIMED_OUT: 'timed out',
};

const statusNames: Readonly<Record<OperationState, string>> = {
  running: 'Running',
  done: 'Completed',
  failed: 'Failed',
  cancelled: 'Canceled',
  terminated: 'Terminated',
  'timed out': 'TimedOut',
};

/**
 * Operations, newest first. Asks by workflow type only: custom search attributes may be missing, and a person who starts an operation in the
 * Temporal UI chooses any id; the cluster is in the memo, which the operation itself writes.
 */
export async function listOperations(
  temporal: Temporal,
  { cluster, state, dryRuns = false, limit = 50 }: ListFilter = {},
): Promise<readonly OperationSummary[]> {
  const types = operationNames.map((name) => `'${name}'`).join(', ');
  const query = `WorkflowType IN (${types})${state === undefined ? '' : ` AND ExecutionStatus = '${statusNames[state]}'`}`;
  return temporal.call(undefined, async (client) => {
    const found: OperationSummary[] = [];
    for await (const info of client.workflow.list({ query })) {
      const summary = summarize(info);
      if ((cluster === undefined || summary.cluster === cluster) && (dryRuns || !summary.dryRun)) found.push(summary);
      if (found.length === limit) break;
    }
    const told = await Promise.all(found.map(async (one) => ((await isPaused(temporal, one)) ? { ...one, paused: true as const } : one)));
    return told.sort((a, b) => b.startedAt.localeCompare(a.startedAt));
  });
}

/** Temporal's list does not say so, and the operation itself only while a worker answers for it. */
async function isPaused(temporal: Temporal, { workflowId, runId, state }: OperationSummary): Promise<boolean> {
  if (state !== 'running') return false;
  try {
    const ask = (client: Client) => client.workflow.getHandle(workflowId, runId).query<Progress>(operationHandlers.progress);
    return (await temporal.call(workflowId, ask, { workerWithinMs: ANSWER_WITHIN_MS })).paused;
  } catch {
    return false;
  }
}

/** A list must not wait long for one of its lines. */
const ANSWER_WITHIN_MS = 1000;

/** What Temporal's record of a workflow says about the operation. */
export function summarize(
  info: Pick<WorkflowExecutionInfo, 'workflowId' | 'runId' | 'type' | 'status' | 'startTime' | 'closeTime' | 'memo'>,
): OperationSummary {
  const { workflowId, runId, type, startTime, closeTime } = info;
  return {
    workflowId,
    runId,
    operation: type,
    cluster: typeof info.memo?.cluster === 'string' ? info.memo.cluster : /^cluster\/([^/]+)\/[^/]+\/[^/]+$/.exec(workflowId)?.[1],
    state: states[info.status.name] ?? 'running',
    dryRun: info.memo?.dryRun === true,
    startedAt: startTime.toISOString(),
    ...(closeTime === undefined ? {} : { endedAt: closeTime.toISOString(), tookMs: closeTime.getTime() - startTime.getTime() }),
  };
}
