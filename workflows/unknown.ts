import { workflowInfo } from '@temporalio/workflow';
import { failures } from '../config/failures.ts';
import { operationNames } from '../config/operations.ts';
import { fail } from './support/failure.ts';

/** Answers to every workflow type that does not exist: at once, where the SDK alone would try for ever. */
export async function unknownWorkflow(): Promise<never> {
  throw fail(
    failures.unknownWorkflow,
    `there is no workflow type "${workflowInfo().workflowType}"; operations: ${operationNames.join(', ')}; scheduled: scheduledBackup; reads: status, list, listBackups, showBackup, recoveryWindow`,
  );
}
