import { ask } from '../ask.ts';
import { carryOut } from '../carry-out.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import { requireInteractive, type Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';

export interface DeprovisionOptions extends StartingOptions {
  readonly confirm?: string;
  readonly keepVolumes: boolean;
  readonly force: boolean;
}

/** `holdfast deprovision <cluster>`: shows what will go, and wants the name typed before it does. */
export async function deprovision(session: Session, cluster: string, options: DeprovisionOptions): Promise<ExitCode> {
  const { keepVolumes, force } = options;
  if (options.confirm !== undefined && options.confirm !== cluster)
    throw new CliError(`--confirm says "${options.confirm}", but the cluster is "${cluster}". Nothing was changed.`);

  const input = { cluster, confirm: cluster, keepVolumes, force, ...sharedInput(options) };
  return carryOut<'deprovision'>(session, {
    request: () => ({ operation: 'deprovision', input }),
    confirm: () => confirmName(session, cluster, options),
    options,
  });
}

async function confirmName({ terminal }: Session, cluster: string, { confirm, keepVolumes }: DeprovisionOptions): Promise<void> {
  if (confirm !== undefined) return;
  requireInteractive(terminal, `--confirm ${cluster}`);
  const fate = keepVolumes ? 'Its containers will be removed; its data stays.' : 'All its data will be deleted. There is no way back.';
  const typed = await ask(`\n${terminal.noteStyle.bad(fate)}\nType the name of the cluster to go ahead: `);
  if (typed !== cluster) throw new CliError('That is not its name. Nothing was changed.', exitCodes.refused);
}
