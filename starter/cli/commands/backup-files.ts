import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { formatBytes, plural } from '../view/units.ts';

interface CarryOptions {
  readonly output: OutputFormat;
}

export interface ImportOptions extends CarryOptions {
  readonly sealedUnder?: string;
}

/** Ctrl-C ends it where nothing is half visible, and says how it goes on. */
async function untilInterrupted<T>(
  { terminal }: Session,
  again: string,
  work: (options: { readonly signal: AbortSignal; onObject(key: string, bytes: number): void }) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const interrupted = () =>
    stop.abort(
      new CliError(`Broken off. What is there by now is no backup yet; the same command goes on with it: ${again}`, exitCodes.interrupted),
    );
  process.on('SIGINT', interrupted);
  process.on('SIGTERM', interrupted);
  try {
    return await work({
      signal: stop.signal,
      onObject: (key, bytes) => terminal.note(terminal.noteStyle.dim(`${key}  ${formatBytes(bytes)}`)),
    });
  } catch (error) {
    throw stop.signal.aborted ? stop.signal.reason : error;
  } finally {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
  }
}

/** `holdfast backup export <cluster> <backup> <folder>`: works on the bucket alone. */
export async function exportBackup(
  session: Session,
  cluster: string,
  backup: string,
  folder: string,
  { output }: CarryOptions,
): Promise<ExitCode> {
  const { terminal, settings } = session;
  const { takeOut } = await import('../../../workers/backup-files.ts');
  const done = await untilInterrupted(session, `holdfast backup export ${cluster} ${backup} ${folder}`, (options) =>
    takeOut(settings, { cluster, backup, folder }, options),
  );
  terminal.print(
    renderOutput(
      output,
      { ...done, folder },
      () =>
        `${terminal.style.good('✔')} ${done.backup} of ${cluster} is in ${folder}: ${plural(done.carried + done.found, 'object')}, ${formatBytes(done.bytes)}, each as its manifest says\n  It opens with the master key alone; keep that elsewhere. Bring it in: holdfast backup import ${folder}`,
    ),
  );
  return exitCodes.ok;
}

/** `holdfast backup import <folder>`: works on the bucket alone. */
export async function importBackups(session: Session, folder: string, { output, sealedUnder }: ImportOptions): Promise<ExitCode> {
  const { terminal, settings } = session;
  const { bringIn } = await import('../../../workers/backup-files.ts');
  const done = await untilInterrupted(session, `holdfast backup import ${folder}`, (options) =>
    bringIn(settings, { folder, ...(sealedUnder === undefined ? {} : { sealedUnder }) }, options),
  );
  terminal.print(
    renderOutput(output, done, () =>
      done
        .map(
          ({ cluster, backup, carried, found, bytes }) =>
            `${terminal.style.good('✔')} ${backup} of ${cluster}: ${formatBytes(bytes)}; ${plural(carried, 'object')} stored, ${found} there already\n  next: holdfast backup verify ${cluster} ${backup}`,
        )
        .join('\n'),
    ),
  );
  return exitCodes.ok;
}
