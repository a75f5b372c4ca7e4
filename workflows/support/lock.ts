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
      // Outside of the operation's own scope: cancelling the operation must not free the cluster before its steps are undone.
      return await CancellationScope.nonCancellable(() =>
        startChild(lock, {
          workflowId: lockWorkflowId(cluster),
          parentClosePolicy: ParentClosePolicy.TERMINATE,
          cancellationType: ChildWorkflowCancellationType.ABANDON,
          memo: { cluster, holder: workflowInfo().workflowId },
          staticSummary: `held by ${workflowInfo().workflowId}`,
        }),
      );
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
    await plainly(() => (whenBusy === 'wait' ? waiting.awaitLockFree(cluster) : control.requireLockFree(cluster)));
  }
}

/** Lets go and waits until the server knows it, so that the next operation is not refused. A lock that somebody ended by hand is free too. */
export async function releaseLock(held: Lock): Promise<void> {
  try {
    await held.signal('release');
    await held.result();
  } catch {
    // It is gone: terminated by a person, or by the server.
  }
}
