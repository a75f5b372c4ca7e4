import { ParentClosePolicy, startChild, uuid4 } from '@temporalio/workflow';
import { failures } from '../config/failures.ts';
import { drillName, operationWorkflowId } from '../config/names.ts';
import type { OperationName } from '../config/operations.ts';
import type { OperationResult } from '../config/progress.ts';
import { scheduledBackupInput } from '../config/schedules.ts';
import { scheduledFromPrimary } from '../model/backup-source.ts';
import { isDrillDue } from '../model/plan-drill.ts';
import { backup } from './backup.ts';
import { drill } from './drill.ts';
import { rotate } from './rotate.ts';
import { detailsOf, fail, isCancellation, plainly, reasonOf, typeOf } from './support/failure.ts';
import { readInput } from './support/input.ts';
import { requireKept } from './support/kept.ts';
import { control, waitsSome } from './support/proxies.ts';

/** So long a run waits for other operations on its cluster, before it gives up. The next one is not held up by it: two of them never run at once. */
const WAIT_HOURS = 6;

export interface ScheduledBackup {
  readonly backup: string;
  readonly rotation: string;
  /** When one was due. */
  readonly drill?: string;
}

/** One run of a cluster's schedule: a backup, its verification, and a rotation; and a drill, when the last one is long ago. Each is an operation of its own. */
export async function scheduledBackup(raw: unknown): Promise<ScheduledBackup> {
  const { cluster } = readInput(scheduledBackupInput, raw, 'scheduledBackup');
  const { spec } = requireKept(cluster, await plainly(() => control.readCluster(cluster)));
  const until = Date.now() + WAIT_HOURS * 3_600_000;
  const shared = { cluster, reason: 'scheduled' };
  const { verify } = spec.backup;
  const made = await inTurn(cluster, 'backup', until, (id) =>
    startChild(backup, { ...child(id), args: [{ ...shared, verify, fromPrimary: scheduledFromPrimary(spec) }] }),
  );
  const rotated = await inTurn(cluster, 'rotate', until, (id) => startChild(rotate, { ...child(id), args: [shared] }));
  const told = { backup: made.summary, rotation: rotated.summary };
  // A run that was begun by an earlier version has a spec without it.
  const everyDays = spec.backup.drillEveryDays ?? 0;
  if (everyDays === 0 || !isDrillDue(everyDays, await plainly(() => control.readDrill(cluster)), Date.now())) return told;
  const drilled = await inTurn(drillName(cluster), 'drill', until, (id) => startChild(drill, { ...child(id), args: [shared] }));
  return { ...told, drill: drilled.summary };
}

/** A run that somebody terminates leaves the operation alone, which puts everything in order by itself. */
const child = (workflowId: string) => ({ workflowId, parentClosePolicy: ParentClosePolicy.ABANDON });

/** Runs an operation as soon as no other one holds the cluster. @throws ClusterBusy when one has held it for too long */
async function inTurn(
  cluster: string,
  operation: OperationName,
  until: number,
  start: (workflowId: string) => Promise<{ result(): Promise<OperationResult> }>,
): Promise<OperationResult> {
  for (;;) {
    try {
      return await (await start(operationWorkflowId(cluster, operation, uuid4().slice(0, 8)))).result();
    } catch (error) {
      if (isCancellation(error)) throw error;
      if (typeOf(error) !== failures.clusterBusy || Date.now() >= until)
        throw fail(typeOf(error), `${operation}: ${reasonOf(error)}`, ...detailsOf(error));
    }
    // When the time is over the operation is tried once more, and says itself who is in its way.
    await waitsSome(Math.max(1000, until - Date.now()))
      .awaitLockFree(cluster)
      .catch((error: unknown) => {
        if (isCancellation(error)) throw error;
      });
  }
}
