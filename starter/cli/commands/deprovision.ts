import { ask } from '../ask.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import { followOperation } from '../follow-operation.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import { requireInteractive, type Session } from '../session.ts';
import { renderPlan } from '../view/plan-view.ts';
import { renderResult } from '../view/result-view.ts';
import { waiting } from '../waiting.ts';

export interface DeprovisionOptions {
  readonly confirm?: string;
  readonly keepVolumes: boolean;
  readonly force: boolean;
  readonly dryRun?: boolean;
  readonly whenBusy: 'fail' | 'wait';
  readonly reason?: string;
  readonly output: OutputFormat;
}

/** `holdfast deprovision <cluster>`: shows what will go, and wants the name typed before it does. */
export async function deprovision(session: Session, cluster: string, options: DeprovisionOptions): Promise<ExitCode> {
  const { terminal } = session;
  const { keepVolumes, force, whenBusy, reason } = options;
  if (options.confirm !== undefined && options.confirm !== cluster)
    throw new CliError(`--confirm says "${options.confirm}", but the cluster is "${cluster}". Nothing was changed.`);

  const holdfast = await session.holdfast();
  const input = { cluster, confirm: cluster, keepVolumes, force, whenBusy, ...(reason === undefined ? {} : { reason }) };
  // Before anything is asked: it fails for a name of which nothing is left anywhere.
  const dryRun = await waiting(terminal, 'planning', holdfast.deprovision.execute({ ...input, dryRun: true }));
  const quiet = options.output === 'json' || options.output === 'yaml';
  const say = quiet ? terminal.note : terminal.print;
  if (options.dryRun === true) {
    terminal.print(renderOutput(options.output, dryRun.plan, (wide) => renderPlan(dryRun.plan, wide, terminal.style)));
    return dryRun.plan.refusals.length > 0 ? exitCodes.refused : exitCodes.ok;
  }
  say(renderPlan(dryRun.plan, options.output === 'wide', quiet ? terminal.noteStyle : terminal.style));
  if (dryRun.plan.refusals.length > 0) return exitCodes.refused;
  if (dryRun.plan.steps.length === 0) {
    terminal.print(renderOutput(options.output, { ...dryRun, outcome: 'unchanged' }, () => 'There is nothing to remove.'));
    return exitCodes.ok;
  }

  if (options.confirm === undefined) {
    requireInteractive(terminal, `--confirm ${cluster}`);
    const fate = keepVolumes ? 'Its containers will be removed; its data stays.' : 'All its data will be deleted. There is no way back.';
    const typed = await ask(`\n${terminal.noteStyle.bad(fate)}\nType the name of the cluster to go ahead: `);
    if (typed !== cluster) throw new CliError('That is not its name. Nothing was changed.', exitCodes.refused);
  }
  const { digest } = dryRun.plan;
  const handle = await holdfast.deprovision.start({ ...input, ...(digest === undefined ? {} : { planDigest: digest }) });
  say(`\n${handle.workflowId}\n${session.uiLink(handle.workflowId)}\n`);
  const result = await followOperation(session, handle);
  terminal.print(renderOutput(options.output, result, () => renderResult(result, terminal.style)));
  return exitCodes.ok;
}
