import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { renderRecoveryWindow } from '../view/recovery-window-view.ts';
import { waiting } from '../waiting.ts';

/** `holdfast recovery-window <cluster>` */
export async function showRecoveryWindow(
  session: Session,
  cluster: string,
  { output }: { readonly output: OutputFormat },
): Promise<ExitCode> {
  const { terminal } = session;
  const found = await waiting(terminal, 'looking at the archive', (await session.holdfast()).recoveryWindow(cluster));
  terminal.print(renderOutput(output, found, (wide) => renderRecoveryWindow(found, wide, terminal.style)));
  return found.shards.length === 0 ? exitCodes.notFound : exitCodes.ok;
}
