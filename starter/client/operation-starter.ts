import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { operationWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { type OperationInput, type OperationName, operationInputs, subjectOf } from '../../config/operations.ts';
import type { OperationResult, Progress } from '../../config/progress.ts';
import { InvalidInput } from './errors.ts';
import { type OperationHandle, operationHandle } from './operation-handle.ts';
import type { Temporal } from './temporal.ts';

export interface StartOptions {
  /**
   * Workflow id. Give one of your own to make the start safe to repeat: while an operation of this id runs, starting it again attaches to it.
   * Default: `cluster/<name>/<operation>/<unique>`.
   */
  readonly workflowId?: string;
}

export interface ExecuteOptions extends StartOptions {
  /** Told every change of the progress. */
  readonly onProgress?: (progress: Progress) => void;
}

/** An operation that can be asked for: `holdfast.provision.start(input)` or `.execute(input)`. */
export interface Operation<N extends OperationName> {
  /** Starts it and returns at once. @throws InvalidInput before anything is sent */
  start(input: OperationInput<N>, options?: StartOptions): Promise<OperationHandle>;
  /** Starts it and waits for its end. @throws InvalidInput, OperationFailed */
  execute(input: OperationInput<N>, options?: ExecuteOptions): Promise<OperationResult>;
}

export function operationStarter<N extends OperationName>(temporal: Temporal, name: N): Operation<N> {
  async function start(input: OperationInput<N>, { workflowId }: StartOptions = {}): Promise<OperationHandle> {
    const cluster = checkInput(name, input);
    const id = workflowId ?? operationWorkflowId(cluster, name, shortUnique());
    const workflow = await temporal.call(id, (client) =>
      client.workflow.start(name, {
        workflowId: id,
        taskQueue: WORKFLOW_TASK_QUEUE,
        workflowIdConflictPolicy: 'USE_EXISTING',
        args: [input],
        memo: { cluster, operation: name, dryRun: input.dryRun === true },
      }),
    );
    return operationHandle(temporal, temporal.client.workflow.getHandle(id, workflow.firstExecutionRunId), workflow.firstExecutionRunId);
  }

  return {
    start,
    async execute(input, { onProgress, ...options } = {}) {
      const handle = await start(input, options);
      if (onProgress !== undefined) for await (const progress of handle.watch()) onProgress(progress);
      return handle.result();
    },
  };
}

/** @returns the name of the cluster that the input is about. @throws InvalidInput */
export function checkInput(name: OperationName, input: unknown): string {
  const parsed = operationInputs[name].safeParse(input);
  if (!parsed.success) throw new InvalidInput(name, z.prettifyError(parsed.error), parsed.error.issues);
  return subjectOf(parsed.data);
}

export const shortUnique = () => randomUUID().slice(0, 8);
