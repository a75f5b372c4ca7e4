import type { Progress } from '../../../config/progress.ts';
import {
  type Holdfast,
  NoWorker,
  OperationFailed,
  type OperationHandle,
  OperationNotFound,
  type OperationState,
  type OperationSummary,
} from '../../client/index.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError, exitCodeOf, explainError } from '../explain-error.ts';
import { followOperation } from '../follow-operation.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { givenLimits, type LimitOptions, limitFlags } from '../shared-options.ts';
import { renderOperations } from '../view/lists-view.ts';
import { type OperationDetails, renderOperation } from '../view/operation-view.ts';
import { renderResult } from '../view/result-view.ts';
import { waiting } from '../waiting.ts';

/** Takes the id of an operation, or a cluster's name for its newest one. @throws OperationNotFound */
async function find(holdfast: Holdfast, idOrCluster: string): Promise<OperationHandle> {
  try {
    return await holdfast.operations.attach(idOrCluster);
  } catch (error) {
    if (!(error instanceof OperationNotFound)) throw error;
    const [newest] = await holdfast.operations.list({ cluster: idOrCluster, limit: 1 });
    if (newest === undefined)
      throw new OperationNotFound(
        `There is no operation, and no cluster with operations, named "${idOrCluster}". See: holdfast operations list`,
      );
    return holdfast.operations.attach(newest.workflowId);
  }
}

export interface ListOptions {
  readonly output: OutputFormat;
  readonly cluster?: string;
  readonly state?: OperationState;
  readonly dryRuns?: boolean;
  readonly limit: number;
}

/** `holdfast operations list` */
export async function listOperations(session: Session, { output, ...filter }: ListOptions): Promise<ExitCode> {
  const operations = await (await session.holdfast()).operations.list(filter);
  session.terminal.print(renderOutput(output, operations, (wide) => renderOperations(operations, wide, session.terminal.style)));
  return exitCodes.ok;
}

/** Everything that can be known of an operation: what runs, or how it ended. */
async function inspect(holdfast: Holdfast, handle: OperationHandle, uiLink: string): Promise<OperationDetails> {
  const summary = await holdfast.operations.describe(handle.workflowId);
  const facts = { ...summary, uiLink };
  const progress = await handle.progress().catch((error: unknown): Progress | undefined => {
    if (error instanceof NoWorker || error instanceof OperationNotFound) return undefined;
    throw error;
  });
  const withProgress = progress === undefined ? facts : { ...facts, progress };
  if (summary.state === 'running') return withProgress;
  try {
    return { ...withProgress, result: await handle.result() };
  } catch (error) {
    if (error instanceof OperationFailed)
      return { ...withProgress, failure: { type: error.type, message: error.message, details: error.details } };
    throw error;
  }
}

/** `holdfast operations show <id>`; with `--watch` it follows the operation to its end. */
export async function showOperation(session: Session, id: string, options: { output: OutputFormat; watch?: boolean }): Promise<ExitCode> {
  const { terminal } = session;
  const holdfast = await session.holdfast();
  const handle = await find(holdfast, id);
  const details = await waiting(terminal, 'asking how far it is', inspect(holdfast, handle, session.uiLink(handle.workflowId)));
  if (options.watch !== true || details.state !== 'running') {
    terminal.print(renderOutput(options.output, details, (wide) => renderOperation(details, wide, terminal.style)));
    return exitCodes.ok;
  }
  terminal.note(terminal.noteStyle.dim(`${handle.workflowId}\n`));
  const result = await followOperation(session, handle);
  terminal.print(renderOutput(options.output, result, () => renderResult(result, terminal.style)));
  return exitCodes.ok;
}

/** Whether an operation of this name may stand in the middle of a step, between two groups of slots. */
const movesSlots = (operation: string) => operation === 'scale' || operation === 'rebalance' || operation === 'repair';

/** Where an operation that is asked to pause stands, and how it goes on. */
export function pauseNotice({ operation, workflowId }: Pick<OperationSummary, 'operation' | 'workflowId'>): string {
  const where = movesSlots(operation)
    ? 'It stops before its next step; a move of slots stops between two groups, with no slot open.'
    : 'It stops before its next step.';
  return `${where} Go on with: holdfast operations resume ${workflowId}`;
}

/** `holdfast operations pause|resume <id>` */
export async function pauseOrResume(session: Session, id: string, what: 'pause' | 'resume'): Promise<ExitCode> {
  const holdfast = await session.holdfast();
  const handle = await find(holdfast, id);
  await handle[what]();
  const said = what === 'pause' ? pauseNotice(await holdfast.operations.describe(handle.workflowId)) : 'It goes on.';
  session.terminal.print(said);
  return exitCodes.ok;
}

/** `holdfast operations limits <id> --probe-p99-ms 20` */
export async function changeLimits(session: Session, id: string, options: LimitOptions): Promise<ExitCode> {
  const limits = givenLimits(options);
  const names = Object.keys(limits);
  if (names.length === 0)
    throw new CliError(
      `Name at least one limit, such as: holdfast operations limits ${id} --probe-p99-ms 20. All: ${limitFlags.join(', ')}`,
    );
  const handle = await find(await session.holdfast(), id);
  await handle.setLimits(limits);
  const changed = Object.entries(limits).map(([name, value]) => `${name} ${value}`);
  session.terminal.print(`From now on: ${changed.join(', ')}. Watch it: holdfast operations show ${handle.workflowId} --watch`);
  return exitCodes.ok;
}

export interface DecideOptions {
  readonly by?: string;
  readonly reason?: string;
}

/** `holdfast operations approve|reject <id>` */
export async function decide(session: Session, id: string, what: 'approve' | 'reject', options: DecideOptions): Promise<ExitCode> {
  const handle = await find(await session.holdfast(), id);
  await handle[what]({ by: options.by ?? session.identity, ...(options.reason === undefined ? {} : { reason: options.reason }) });
  session.terminal.print(
    what === 'approve' ? `Approved. Watch it: holdfast operations show ${handle.workflowId} --watch` : 'Rejected. Nothing will be changed.',
  );
  return exitCodes.ok;
}

/** What becomes of an operation that is asked to stop. What a deprovision has removed cannot be brought back. */
export function cancelNotice({ operation, workflowId, cluster }: Pick<OperationSummary, 'operation' | 'workflowId' | 'cluster'>): string {
  const undone =
    operation === 'deprovision'
      ? `What it has removed by then stays removed. Remove the rest: holdfast deprovision ${cluster ?? '<cluster>'}`
      : movesSlots(operation)
        ? 'A move of slots stops between two groups, with no slot open; slots that have moved by then stay where they are.'
        : 'What it did by then is undone where it can be.';
  return `It stops at its next step. ${undone}\n  watch it: holdfast operations show ${workflowId} --watch`;
}

/** `holdfast operations cancel <id>`; with `--wait` until it has ended. */
export async function cancelOperation(session: Session, id: string, { wait }: { wait?: boolean }): Promise<ExitCode> {
  const { terminal } = session;
  const holdfast = await session.holdfast();
  const handle = await find(holdfast, id);
  await handle.cancel();
  if (wait !== true) {
    terminal.print(cancelNotice(await holdfast.operations.describe(handle.workflowId)));
    return exitCodes.ok;
  }
  try {
    const result = await followOperation(session, handle);
    terminal.print(renderResult(result, terminal.style));
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof OperationFailed && error.type === 'Cancelled')) {
      terminal.note(explainError(error, false));
      return exitCodeOf(error);
    }
    terminal.print(`Cancelled: ${error.message}`);
    return exitCodes.ok;
  }
}
