import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { workflowInfo } from '@temporalio/workflow';
import type { SourceRequest } from '../../activities/restore/find-source.ts';
import { failures } from '../../config/failures.ts';
import { readingWorkflowIds } from '../../config/names.ts';
import { canonicalJson } from '../../model/layout.ts';
import { type Reading, readsOf, sameAs } from '../../model/recovery/readings.ts';
import type { ClusterSource } from '../../model/recovery/shard-recovery.ts';
import { fail } from './failure.ts';
import { type Lock, startLock } from './lock.ts';
import { control, finds } from './proxies.ts';
import type { Operation } from './stages.ts';

/**
 * Finds the data. Until the operation is over no rotation removes what is read of it: first it is said what is read, then a rotation is waited for that may have looked before, and then
 * all of it must still be there.
 */
export async function findToRead(op: Operation, request: SourceRequest): Promise<ClusterSource> {
  const { cluster } = request;
  const found = await finds.findSource(request);
  const reads = readsOf(found);
  op.holdToTheEnd(await announce(cluster, { by: workflowInfo().workflowId, ...reads }));
  await control.awaitRemovals(cluster);
  const source = await finds.findSource({ cluster, which: sameAs(found) });
  if (canonicalJson(readsOf(source)) === canonicalJson(reads)) return source;
  throw fail(
    failures.notRestorable,
    `a rotation has removed what was to be read of ${cluster}, and nothing was changed: run the same again`,
  );
}

async function announce(cluster: string, reading: Reading): Promise<Lock> {
  for (const id of readingWorkflowIds(cluster)) {
    try {
      return await startLock(id, { cluster, reading }, `${reading.by} reads what is stored`);
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
  throw fail(
    failures.clusterBusy,
    `as many operations as may do so at once read what is stored of ${cluster}: wait until one of them has ended`,
  );
}
