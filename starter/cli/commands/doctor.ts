import { type Check, checkUp } from '../../../workers/checkup.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { renderChecks } from '../view/checks-view.ts';
import { waiting } from '../waiting.ts';

export const doctorExitCode = (checks: readonly Check[]): ExitCode =>
  checks.some((check) => check.state === 'failed') ? exitCodes.unreachable : exitCodes.ok;

/** `holdfast doctor`: every dependency, whether it answers, its version, and what to do about it. */
export async function doctor(session: Session, { output }: { output: OutputFormat }): Promise<ExitCode> {
  const { terminal } = session;
  const checks = await waiting(terminal, 'asking every dependency', checkUp(session.settings));
  terminal.print(renderOutput(output, checks, () => renderChecks(checks, terminal.style)));
  return doctorExitCode(checks);
}
