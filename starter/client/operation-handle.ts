import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { z } from 'zod';
import { type MoveLimitsChange, type MoveProgress, moveLimitsChange } from '../../config/migration.ts';
import { type Decision, type OperationResult, operationHandlers, type Progress } from '../../config/progress.ts';
import { InvalidInput, NoWorker, TemporalUnreachable } from './errors.ts';
import { createMoveMemory, mayMoveSlots, newestMove } from './live-moves.ts';
import type { Temporal } from './temporal.ts';

export interface WatchOptions {
  /** How often to ask. Default 500 ms. */
  readonly everyMs?: number;
  /** Told once each time that nobody answers any more; the watch goes on and picks up again when somebody does. */
  readonly onSilent?: (error: Error) => void;
}

/** An operation that was started, by whomever. */
export interface OperationHandle {
  readonly workflowId: string;
  readonly runId: string | undefined;
  /** How far it is: as the workflow itself says, and of a move of slots as its last heartbeat says, about a second ago. @throws NoWorker */
  progress(): Promise<Progress>;
  /** Every change of its progress until it ends, however it ends; `result` then tells how. */
  watch(options?: WatchOptions): AsyncGenerator<Progress, void, void>;
  /** Stops at the next step boundary until `resume`; a move of slots stops between two groups of slots. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Changes the limits that are named, while slots move; the others stay as they are. @throws InvalidInput before anything is sent */
  setLimits(change: MoveLimitsChange): Promise<void>;
  approve(decision: Decision): Promise<void>;
  reject(decision: Decision): Promise<void>;
  /** Asks it to stop at the next step boundary and undo what can be undone; of a deprovision nothing can. */
  cancel(): Promise<void>;
  /** Waits for its end; a Temporal that restarts meanwhile is waited for. @throws OperationFailed */
  result(): Promise<OperationResult>;
}

/** Queries and updates are answered by a worker: it has this long. */
const ANSWER_MS = 5_000;

/** Heartbeats are a courtesy: whoever watches does not wait longer for them, in ms. */
const HEARTBEATS_MS = 2_000;

/** How long a Temporal that stopped answering is waited for, and how often it is asked. */
const PATIENCE_MS = 300_000;
const RETRY_MS = 1_000;

export function operationHandle(temporal: Temporal, workflow: WorkflowHandle, runId: string | undefined): OperationHandle {
  const { workflowId } = workflow;
  const ask = <T>(run: () => Promise<T>) => temporal.call(workflowId, run, { workerWithinMs: ANSWER_MS });
  const recall = createMoveMemory();

  async function progress(): Promise<Progress> {
    const now = await ask(() => workflow.query<Progress>(operationHandlers.progress));
    return mayMoveSlots(now) ? recall(now, await lastBeat()) : now;
  }

  async function lastBeat(): Promise<MoveProgress | undefined> {
    const { client } = temporal;
    try {
      const { raw } = await client.withDeadline(Date.now() + HEARTBEATS_MS, () => workflow.describe());
      return await newestMove(raw.pendingActivities, client.options.loadedDataConverter);
    } catch {
      return undefined; // what the workflow says is enough; heartbeats only say it sooner
    }
  }

  /** The long poll for the end, taken up again when Temporal goes away and comes back. */
  async function result(signal?: AbortSignal): Promise<OperationResult> {
    for (let failingSince: number | undefined; ; ) {
      try {
        return await temporal.call(workflowId, (client) =>
          signal === undefined ? waitForResult(workflow) : client.withAbortSignal(signal, () => waitForResult(workflow)),
        );
      } catch (error) {
        failingSince ??= Date.now();
        if (!(error instanceof TemporalUnreachable) || signal?.aborted || Date.now() - failingSince > PATIENCE_MS) throw error;
        await sleep(RETRY_MS);
      }
    }
  }

  async function* watch({ everyMs = 500, onSilent }: WatchOptions = {}): AsyncGenerator<Progress, void, void> {
    const stop = new AbortController();
    let over = false;
    // How it ended is for `result` to tell; here only that it did.
    const markOver = () => {
      over = true;
    };
    const ended = result(stop.signal).then(markOver, markOver);
    try {
      for (let last = '', silent = false; ; ) {
        const lastLook = over;
        try {
          const now = await progress();
          silent = false;
          const text = JSON.stringify(now);
          if (text !== last) yield now;
          last = text;
        } catch (error) {
          if (!lastLook) {
            // A worker that died, or a Temporal that restarts, is no reason to stop: the operation outlives both.
            if (!(error instanceof NoWorker || error instanceof TemporalUnreachable)) throw error;
            if (!silent) onSilent?.(error);
            silent = true;
          }
        }
        if (lastLook) return;
        await Promise.race([sleep(everyMs), ended]);
      }
    } finally {
      stop.abort();
    }
  }

  return {
    workflowId,
    runId,
    progress,
    watch,
    pause: () => ask(() => workflow.executeUpdate<void, []>(operationHandlers.pause)),
    resume: () => ask(() => workflow.executeUpdate<void, []>(operationHandlers.resume)),
    setLimits: async (change) => {
      const parsed = moveLimitsChange.safeParse(change);
      if (!parsed.success) throw new InvalidInput('limits', z.prettifyError(parsed.error), parsed.error.issues);
      await ask(() => workflow.executeUpdate<void, [MoveLimitsChange]>(operationHandlers.limits, { args: [parsed.data] }));
    },
    approve: (decision) => ask(() => workflow.executeUpdate<void, [Decision]>(operationHandlers.approve, { args: [decision] })),
    reject: (decision) => ask(() => workflow.executeUpdate<void, [Decision]>(operationHandlers.reject, { args: [decision] })),
    cancel: async () => {
      await temporal.call(workflowId, () => workflow.cancel());
    },
    result: () => result(),
  };
}

const waitForResult = (workflow: WorkflowHandle): Promise<OperationResult> => workflow.result();
