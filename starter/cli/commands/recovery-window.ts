import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { renderRecoverySummaries } from '../view/recovery-summaries-view.ts';
import { renderRecoveryWindow } from '../view/recovery-window-view.ts';
import { waiting } from '../waiting.ts';

/** `holdfast recovery-window [cluster]` */
export async function showRecoveryWindow(
  session: Session,
  cluster: string | undefined,
  { output }: { readonly output: OutputFormat },
): Promise<ExitCode> {
  const { terminal } = session;
  const holdfast = await session.holdfast();
  if (cluster === undefined) {
    const all = await waiting(terminal, 'looking at every archive', holdfast.recoveryWindows());
    terminal.print(renderOutput(output, all, () => renderRecoverySummaries(all, Date.now(), terminal.style)));
    return exitCodes.ok;
  }
  const found = await waiting(terminal, 'looking at the archive', holdfast.recoveryWindow(cluster));
  terminal.print(renderOutput(output, found, (wide) => renderRecoveryWindow(found, wide, terminal.style)));
  return found.shards.length === 0 ? exitCodes.notFound : exitCodes.ok;
}
