import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { CancellationScope, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { z } from 'zod';
import type { BackupReport } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import type { MoveReport } from '../../config/migration.ts';
import { keeperWorkflowId, lockWorkflowId, searchAttributes } from '../../config/names.ts';
import { type OperationName, operationInputs } from '../../config/operations.ts';
import type { JournalEntry, OperationResult } from '../../config/progress.ts';
import type { RestoreReport } from '../../config/restore.ts';
import { createControls } from './controls.ts';
import { asCancelled, detailsOf, fail, isCancellation, plainly, reasonOf, typeOf } from './failure.ts';
import { readInput } from './input.ts';
import { releaseLock, takeLock } from './lock.ts';
import { createProgressBoard } from './progress.ts';
import { control } from './proxies.ts';
import { createStages, EndsHere, type Operation } from './stages.ts';
import { createUndoList, type UndoList } from './undo.ts';

/** The parsed input of an operation. */
type InputOf<N extends OperationName> = z.output<(typeof operationInputs)[N]>;

/** What a runbook returns. */
export interface Done {
  readonly summary: string;
  readonly generation?: number;
  readonly moved?: MoveReport;
  readonly backup?: BackupReport;
  readonly restored?: RestoreReport;
}

/** A line of the journal is for reading; the whole is in the operation's own result. */
const SUMMARY_LENGTH = 2000;

/** How an operation ended; `failure` is thrown when everything is put in order. */
type Ending =
  | {
      readonly outcome: 'done' | 'unchanged' | 'planned';
      readonly summary: string;
      readonly generation?: number;
      readonly moved?: MoveReport;
      readonly backup?: BackupReport;
      readonly restored?: RestoreReport;
    }
  | { readonly outcome: 'failed' | 'cancelled' | 'rejected'; readonly summary: string; readonly failure: unknown };

/**
 * The life of every operation: validate, lock, observe, plan, [dry run ends here], [approval], act with compensation, verify, result. A runbook
 * is only the order of its steps; all that operations share is here.
 */
export async function operation<N extends OperationName>(
  name: N,
  raw: unknown,
  subject: (input: InputOf<N>) => string,
  runbook: (op: Operation, input: InputOf<N>) => Promise<Done>,
): Promise<OperationResult> {
  const startedAt = Date.now();
  const input = readInput(operationInputs[name], raw, name) as InputOf<N>;
  const cluster = subject(input);
  const { workflowId, runId } = workflowInfo();
  if (workflowId === keeperWorkflowId(cluster) || workflowId === lockWorkflowId(cluster))
    throw fail(failures.invalidInput, `the workflow id ${workflowId} belongs to the cluster itself: start the operation under any other`);
  const board = createProgressBoard(name, cluster);
  const controls = createControls(board);
  const undos = createUndoList(board);
  upsertMemo({ cluster, operation: name, dryRun: input.dryRun });
  const { by, searchAttributes: ready } = await plainly(() => control.openOperation());
  if (ready) upsertSearchAttributes(attributesOf(cluster, name));

  board.stage('lock');
  const held = [await takeLock(cluster, input.whenBusy)];
  let ending: Ending;
  try {
    board.stage('observe');
    const known = await control.readCluster(cluster);
    const { spec } = 'spec' in input ? input : known;
    if (ready && spec !== undefined)
      upsertSearchAttributes([{ key: keyword(searchAttributes.engine), value: `${spec.engine} ${spec.version}` }]);
    const op = createStages({ by, name, title: `${name} of ${cluster}`, input, known, board, controls, undos, held });
    ending = { outcome: 'done', ...(await runbook(op, input)) };
  } catch (problem) {
    const error = asCancelled(problem);
    ending =
      error instanceof EndsHere
        ? { outcome: error.outcome, summary: board.now().plan?.summary ?? '' }
        : await CancellationScope.nonCancellable(() => takeBack(error, undos, board.soFar()));
  }

  // However it ended, it has: a cancellation that comes now comes too late.
  return CancellationScope.nonCancellable(async () => {
    if (ending.outcome !== 'planned') {
      const [start, end] = [new Date(startedAt).toISOString(), new Date().toISOString()];
      const { outcome } = ending;
      const summary = ending.summary.slice(0, SUMMARY_LENGTH);
      const { approvedBy } = board.now();
      const why = { ...(input.reason === undefined ? {} : { reason: input.reason }), ...(approvedBy === undefined ? {} : { approvedBy }) };
      const generation = 'generation' in ending ? { generation: ending.generation } : {};
      await write(cluster, {
        workflowId,
        runId,
        operation: name,
        by,
        startedAt: start,
        endedAt: end,
        outcome,
        summary,
        ...why,
        ...generation,
      });
    }
    await Promise.all(held.map(releaseLock));
    board.stage('ended');
    if ('failure' in ending) throw ending.failure;
    const { steps, plan = { summary: '', steps: [], refusals: [] } } = board.now();
    return { operation: name, cluster, ...ending, plan, tookMs: Date.now() - startedAt, steps };
  });
}

/** Undoes what was begun, and says what ended the operation: with what could not be undone beside it, never hidden. */
async function takeBack(error: unknown, undos: UndoList, soFar: string | undefined): Promise<Ending> {
  const problems = await undos.run();
  const cancelled = isCancellation(error);
  const reason = cancelled ? `cancelled${soFar === undefined ? '' : `: ${soFar}`}` : reasonOf(error);
  const outcome = cancelled ? 'cancelled' : typeOf(error) === failures.rejected ? 'rejected' : 'failed';
  if (problems.length > 0) {
    const summary = `${reason}\nAnd this could not be undone, look at it: ${problems.join('; ')}`;
    return { outcome, summary, failure: fail(failures.undoFailed, summary, { type: cancelled ? 'Cancelled' : typeOf(error), problems }) };
  }
  return { outcome, summary: reason, failure: cancelled ? error : fail(typeOf(error), reason, ...detailsOf(error)) };
}

/** The journal is for people: a line that cannot be written must not turn a good end into a bad one. */
async function write(cluster: string, entry: JournalEntry): Promise<void> {
  try {
    await control.recordInJournal(cluster, entry);
  } catch {
    // The history of this operation says the same, and why the line is missing.
  }
}

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);

const attributesOf = (cluster: string, name: OperationName) => [
  { key: keyword(searchAttributes.cluster), value: cluster },
  { key: keyword(searchAttributes.operation), value: name },
];
