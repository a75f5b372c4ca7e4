import type { OperationInput, OperationName } from '../../config/operations.ts';
import type { OperationResult, Plan } from '../../config/progress.ts';
import type { Holdfast, Operation } from '../client/index.ts';
import { askYes } from './ask.ts';
import { confirmName } from './confirm-name.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { CliError } from './explain-error.ts';
import { followOperation } from './follow-operation.ts';
import { type OutputFormat, renderOutput } from './output.ts';
import { requireInteractive, type Session } from './session.ts';
import type { StartingOptions } from './shared-options.ts';
import type { Style } from './terminal.ts';
import { renderPlan } from './view/plan-view.ts';
import { renderResult } from './view/result-view.ts';
import { renderStarted } from './view/started-view.ts';
import { waiting } from './waiting.ts';

/** An operation to ask for. */
export interface Request<N extends OperationName> {
  readonly operation: N;
  readonly input: OperationInput<N>;
}

/** A request with the plan that it leads to. */
interface Proposal<N extends OperationName> extends Request<N> {
  readonly dryRun: OperationResult;
}

export interface CarryOut<N extends OperationName> {
  /** What to ask for; it may depend on how the cluster is. */
  readonly request: (holdfast: Holdfast) => Request<N> | Promise<Request<N>>;
  /** What the input gets from the plan that was shown, so that this very plan runs. */
  readonly fromPlan?: (plan: Plan) => Partial<OperationInput<N>>;
  /** Asks a person. Default: a question with yes and no. @throws CliError when it shall not be */
  readonly confirm?: () => Promise<void>;
  /** What shows only the plan, for a script that forgot to say yes. Default `--dry-run`. */
  readonly planOnly?: string;
  /** The name that was given for what replaces data of a cluster that is there. */
  readonly named?: string;
  readonly options: Pick<StartingOptions, 'output' | 'dryRun' | 'yes' | 'watch' | 'needsApproval'>;
}

/** Every operation, so that one can be chosen by a name that is not yet known. */
type Starters = { readonly [N in OperationName]: Operation<N> };

async function propose<N extends OperationName>(session: Session, { request }: Pick<CarryOut<N>, 'request'>): Promise<Proposal<N>> {
  const holdfast = await session.holdfast();
  const plan = async () => {
    const asked = await request(holdfast);
    const starters: Starters = holdfast;
    return { ...asked, dryRun: await starters[asked.operation].execute({ ...asked.input, dryRun: true }) };
  };
  return waiting(session.terminal, 'planning', plan());
}

/**
 * Shows what an operation would do. Changes nothing.
 * @param doIt how to have it done
 */
export async function showPlan<N extends OperationName>(
  session: Session,
  { request, options: { output } }: Pick<CarryOut<N>, 'request' | 'options'>,
  doIt: string,
): Promise<ExitCode> {
  const { terminal } = session;
  const { operation, dryRun } = await propose(session, { request });
  const { cluster, plan } = dryRun;
  terminal.print(renderOutput(output, { operation, cluster, ...plan }, (wide) => renderPlan(plan, wide, terminal.style, terminal.columns)));
  if (plan.refusals.length > 0) return exitCodes.refused;
  const said = plan.steps.length === 0 ? 'There is nothing to do.' : `This is a plan; nothing was changed. Do it: ${doIt}`;
  terminal.note(terminal.noteStyle.dim(`\n${said}`));
  return exitCodes.ok;
}

/** Answers are for programs: what a person reads besides goes elsewhere. */
function voiceOf({ terminal }: Session, output: OutputFormat): { readonly say: (text: string) => void; readonly style: Style } {
  const quiet = output === 'json' || output === 'yaml';
  return quiet ? { say: terminal.note, style: terminal.noteStyle } : { say: terminal.print, style: terminal.style };
}

/**
 * Plans, shows the plan, asks, and runs that plan; one that has changed meanwhile is refused. Follows it to its end unless told otherwise. With
 * `dryRun` it only shows the plan.
 */
export async function carryOut<N extends OperationName>(session: Session, { options, ...todo }: CarryOut<N>): Promise<ExitCode> {
  if (options.dryRun === true) return showPlan(session, { ...todo, options }, 'the same without --dry-run');
  const { terminal } = session;
  const { output } = options;
  const { say, style } = voiceOf(session, output);
  const finish = (result: OperationResult) => terminal.print(renderOutput(output, result, () => renderResult(result, terminal.style)));
  const { operation, input, dryRun } = await propose(session, todo);
  const { plan, cluster } = dryRun;

  if (plan.refusals.length === 0 && (plan.steps.length === 0 || dryRun.outcome === 'unchanged')) {
    finish({ ...dryRun, outcome: 'unchanged' });
    return exitCodes.ok;
  }
  say(renderPlan(plan, output === 'wide', style, terminal.columns));
  if (plan.refusals.length > 0) return exitCodes.refused;
  if (plan.replaces !== undefined)
    await confirmName(session, cluster, { fate: plan.replaces, ...(todo.named === undefined ? {} : { given: todo.named }) });
  else if (options.yes !== true) {
    if (todo.confirm === undefined) await confirmYes(session, `${operation} ${cluster}`, todo.planOnly ?? '--dry-run');
    else await todo.confirm();
  }

  const holdfast = await session.holdfast();
  const starters: Starters = holdfast;
  const digest = plan.digest === undefined ? {} : { planDigest: plan.digest };
  const handle = await starters[operation].start({ ...input, ...todo.fromPlan?.(plan), ...digest });
  say(style.dim(`\n${handle.workflowId}\n${session.uiLink(handle.workflowId)}\n`));
  if (!(await holdfast.hasWorker(handle))) terminal.note('No worker runs; the operation starts as soon as one does: holdfast worker');
  if (options.watch === false) {
    const { workflowId, runId } = handle;
    const started = { operation, cluster, workflowId, runId, uiLink: session.uiLink(workflowId) };
    terminal.print(renderOutput(output, started, () => renderStarted(workflowId, options.needsApproval !== undefined)));
    return exitCodes.ok;
  }
  finish(await followOperation(session, handle));
  return exitCodes.ok;
}

async function confirmYes({ terminal }: Session, what: string, planOnly: string): Promise<void> {
  requireInteractive(terminal, `--yes to go ahead without being asked, or ${planOnly} to see only what would happen`);
  if (!(await askYes(`\n${what}?`))) throw new CliError('Nothing was changed.', exitCodes.refused);
}
