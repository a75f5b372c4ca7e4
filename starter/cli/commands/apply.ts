import { isDeepStrictEqual } from 'node:util';
import { type ClusterSpec, clusterSpec } from '../../../config/cluster-spec.ts';
import type { OperationInput } from '../../../config/operations.ts';
import type { OperationResult } from '../../../config/progress.ts';
import type { StatusReport } from '../../../config/status.ts';
import type { Holdfast } from '../../client/index.ts';
import { askYes } from '../ask.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import { followOperation } from '../follow-operation.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import { requireInteractive, type Session } from '../session.ts';
import { type LoadedSpec, loadSpec } from '../spec-file.ts';
import { renderPlan } from '../view/plan-view.ts';
import { renderResult } from '../view/result-view.ts';
import { waiting } from '../waiting.ts';

export interface ApplyOptions {
  readonly filename: string;
  readonly yes?: boolean;
  readonly needsApproval?: true | number;
  readonly whenBusy: 'fail' | 'wait';
  readonly reason?: string;
  readonly output: OutputFormat;
}

export type ApplyOperation = 'provision' | 'configure';

/**
 * Which operation brings a cluster to its spec. Provision makes what is missing; configure changes what runs. A cluster that has the very spec
 * already but is not healthy may be half made, and one that no keeper holds was never finished: both are for provision.
 */
export function chooseOperation(status: Pick<StatusReport, 'verdict' | 'spec' | 'generation'>, wanted: ClusterSpec): ApplyOperation {
  if (status.verdict === 'absent' || status.spec === undefined || status.generation === undefined) return 'provision';
  // A spec that was kept by an earlier version may lack defaults that came later.
  const kept = clusterSpec.safeParse(status.spec);
  const same = kept.success && isDeepStrictEqual(kept.data, wanted);
  return same && status.verdict !== 'healthy' ? 'provision' : 'configure';
}

/** @param digest of the plan that was shown: what runs is that plan, or nothing */
function inputOf(
  loaded: LoadedSpec,
  options: Pick<ApplyOptions, 'whenBusy' | 'reason' | 'needsApproval'>,
  digest: string | undefined,
): OperationInput<ApplyOperation> {
  const { whenBusy, reason, needsApproval } = options;
  return {
    spec: loaded.input,
    whenBusy,
    ...(digest === undefined ? {} : { planDigest: digest }),
    ...(reason === undefined ? {} : { reason }),
    ...(needsApproval === undefined ? {} : { approval: needsApproval === true ? {} : { timeoutSeconds: needsApproval } }),
  };
}

interface Proposal {
  readonly operation: ApplyOperation;
  readonly dryRun: OperationResult;
}

/** Plans, by a dry run of the operation that is going to run. */
async function propose(holdfast: Holdfast, loaded: LoadedSpec, whenBusy: 'fail' | 'wait'): Promise<Proposal> {
  const status = await holdfast.status(loaded.spec.name);
  const operation = chooseOperation(status, loaded.spec);
  const dryRun = await holdfast[operation].execute({ spec: loaded.input, dryRun: true, whenBusy });
  return { operation, dryRun };
}

/** `holdfast plan -f spec.yaml`: what apply would do. Changes nothing. */
export async function plan(session: Session, options: Pick<ApplyOptions, 'filename' | 'output' | 'whenBusy'>): Promise<ExitCode> {
  const { terminal } = session;
  const loaded = await loadSpec(options.filename);
  const { operation, dryRun } = await waiting(terminal, 'planning', propose(await session.holdfast(), loaded, options.whenBusy));
  const data = { operation, cluster: dryRun.cluster, ...dryRun.plan };
  terminal.print(renderOutput(options.output, data, (wide) => renderPlan(dryRun.plan, wide, terminal.style)));
  if (dryRun.plan.refusals.length > 0) return exitCodes.refused;
  if (dryRun.plan.steps.length > 0)
    terminal.note(terminal.noteStyle.dim(`\nThis is a plan; nothing was changed. Do it: holdfast apply -f ${options.filename}`));
  return exitCodes.ok;
}

/** `holdfast apply -f spec.yaml`: shows the plan, asks, and runs that plan; one that has changed meanwhile is refused. */
export async function apply(session: Session, options: ApplyOptions): Promise<ExitCode> {
  const { terminal } = session;
  const loaded = await loadSpec(options.filename);
  const quiet = options.output === 'json' || options.output === 'yaml';
  const say = quiet ? terminal.note : terminal.print;
  const style = quiet ? terminal.noteStyle : terminal.style;
  const finish = (result: OperationResult) =>
    terminal.print(renderOutput(options.output, result, () => renderResult(result, terminal.style)));
  const holdfast = await session.holdfast();
  const { operation, dryRun } = await waiting(terminal, 'planning', propose(holdfast, loaded, options.whenBusy));

  if (dryRun.plan.refusals.length > 0) {
    say(renderPlan(dryRun.plan, options.output === 'wide', style));
    return exitCodes.refused;
  }
  if (dryRun.plan.steps.length === 0 || dryRun.outcome === 'unchanged') {
    finish(dryRun.outcome === 'planned' ? { ...dryRun, outcome: 'unchanged' } : dryRun);
    return exitCodes.ok;
  }
  say(renderPlan(dryRun.plan, options.output === 'wide', style));
  if (options.yes !== true) {
    requireInteractive(terminal, '--yes to go ahead without being asked, or holdfast plan to see only what would happen');
    if (!(await askYes(`\n${operation} ${loaded.spec.name}?`))) throw new CliError('Nothing was changed.', exitCodes.refused);
  }

  const handle = await holdfast[operation].start(inputOf(loaded, options, dryRun.plan.digest));
  say(style.dim(`\n${handle.workflowId}\n${session.uiLink(handle.workflowId)}\n`));
  if (!(await holdfast.hasWorker())) terminal.note('No worker runs; the operation starts as soon as one does: holdfast worker');
  const result = await followOperation(session, handle);
  finish(result);
  return exitCodes.ok;
}
