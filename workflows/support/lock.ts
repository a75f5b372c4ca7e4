import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  ChildWorkflowCancellationType,
  type ChildWorkflowHandle,
  ParentClosePolicy,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { lockWorkflowId } from '../../config/names.ts';
import { lock } from '../lock.ts';
import { plainly } from './failure.ts';
import { control, waiting } from './proxies.ts';

export type Lock = ChildWorkflowHandle<typeof lock>;

/**
 * Takes the cluster's lock: a child workflow with a fixed id, of which the server lets one run. It ends with the operation however that ends.
 * @throws ClusterBusy naming the holder, unless the caller waits.
 */
export async function takeLock(cluster: string, whenBusy: 'fail' | 'wait'): Promise<Lock> {
  for (;;) {
    try {
      const holder = workflowInfo().workflowId;
      return await startLock(lockWorkflowId(cluster), { cluster, holder }, `held by ${holder}`);
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    await plainly(() => (whenBusy === 'wait' ? waiting.awaitLockFree(cluster) : control.requireLockFree(cluster)));
  }
}

/**
 * What is held as long as the operation runs, under an id of which the server lets one run. Outside of the operation's own scope: cancelling it must not let go before its steps are undone.
 * @throws WorkflowExecutionAlreadyStartedError
 */
export const startLock = (workflowId: string, memo: Record<string, unknown>, staticSummary: string): Promise<Lock> =>
  CancellationScope.nonCancellable(() =>
    startChild(lock, {
      workflowId,
      parentClosePolicy: ParentClosePolicy.TERMINATE,
      cancellationType: ChildWorkflowCancellationType.ABANDON,
      memo,
      staticSummary,
    }),
  );

/** Lets go and waits until the server knows it, so that the next operation is not refused. A lock that somebody ended by hand is free too. */
export async function releaseLock(held: Lock): Promise<void> {
  try {
    await held.signal('release');
    await held.result();
  } catch {
    // It is gone: terminated by a person, or by the server.
  }
}
