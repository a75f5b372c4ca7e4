import { ask } from './ask.ts';
import { exitCodes } from './exit-codes.ts';
import { CliError } from './explain-error.ts';
import { requireInteractive, type Session } from './session.ts';

export interface NameWanted {
  /** What becomes of the cluster. */
  readonly fate: string;
  /** What `--confirm` says. */
  readonly given?: string;
}

/** A person has typed the name of the cluster, or a script has given it. @throws CliError otherwise */
export async function confirmName({ terminal }: Session, cluster: string, { fate, given }: NameWanted): Promise<void> {
  if (given !== undefined) return requireName(cluster, given);
  requireInteractive(terminal, `--confirm ${cluster}`);
  const typed = await ask(`\n${terminal.noteStyle.bad(fate)}\nType the name of the cluster to go ahead: `);
  if (typed !== cluster) throw new CliError('That is not its name. Nothing was changed.', exitCodes.refused);
}

/** @throws CliError when another name was given */
export function requireName(cluster: string, given: string | undefined): void {
  if (given !== undefined && given !== cluster)
    throw new CliError(`--confirm says "${given}", but the cluster is "${cluster}". Nothing was changed.`);
}
