import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { uniqueName } from './clusters.ts';
import { type GoodRun, onCluster, prepared, resultOf, type Subject, type Survivor, start, whileRuns, worker } from './crash-harness.ts';
import { formatPoint, type Point } from './crash-points.ts';
import { expectRemains } from './crash-remains.ts';
import { type Running, until } from './processes.ts';
import type { Stack } from './stack.ts';

/** An operation that stands still at a point, while its worker lives. */
export interface Held {
  readonly subject: Subject;
  readonly handle: WorkflowHandle;
  readonly worker: Running;
  /** Lets it go on. */
  open(): void;
}

/** Starts the operation and waits until it stands at the point. Its worker may be one that dies at a later one. */
export async function holdAt(
  subject: Subject,
  { operation, input }: Pick<Survivor, 'operation' | 'input'>,
  point: Point,
  crashAt?: Point,
): Promise<Held> {
  const gate = join(subject.stack.folder, uniqueName('gate'));
  const doer = worker(subject.stack, { holdAt: point, gate, ...(crashAt === undefined ? {} : { crashAt }) });
  const handle = await start(subject, operation, input(subject.cluster));
  const standing = until(`the operation stands at ${formatPoint(point)}`, async () => existsSync(`${gate}.held`), 60_000);
  await whileRuns(subject, doer, standing);
  return { subject, handle, worker: doer, open: () => writeFileSync(`${gate}.open`, '') };
}

/** An operation that can be taken back. */
export interface Cancellable extends Survivor {
  /** What must be true when it was cancelled at the point, while a worker runs. */
  readonly undone: (subject: Subject, good: GoodRun, point: Point) => Promise<void>;
}

/** All is done and verified when the journal is written: a cancellation then comes too late, and must not undo anything. */
const TOO_LATE = 'recordInJournal';

/**
 * Cancels the operation while the activity stands at the point: before it has begun, or after it has worked and before anybody knows.
 * @throws Error when anything of it is left.
 */
export const cancelAt = (stack: Stack, survivor: Cancellable, good: GoodRun, point: Point): Promise<void> =>
  onCluster(
    stack,
    async (subject) => {
      await prepared(subject, survivor);
      const { handle, worker: doer, open } = await holdAt(subject, survivor, point);
      await handle.cancel();
      if (point.activity === TOO_LATE) {
        open();
        await survivor.check(subject, await whileRuns(subject, doer, resultOf(handle)));
        await expectRemains(stack, subject.cluster, good.remains);
        return;
      }
      const ended = await whileRuns(
        subject,
        doer,
        resultOf(handle).then(
          () => 'ended well',
          (error: unknown) => String(error),
        ),
      );
      const { status } = await handle.describe();
      if (status.name !== 'CANCELLED') throw new Error(`it is ${status.name}: ${ended}`);
      await survivor.undone(subject, good, point);
    },
    survivor.clusterOn?.(stack),
  );
