import { carryOut } from '../carry-out.ts';
import { confirmName, requireName } from '../confirm-name.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';

export interface DeprovisionOptions extends StartingOptions {
  readonly confirm?: string;
  readonly keepVolumes: boolean;
  readonly force: boolean;
}

/** `holdfast deprovision <cluster>`: shows what will go, and wants the name typed before it does. */
export async function deprovision(session: Session, cluster: string, options: DeprovisionOptions): Promise<ExitCode> {
  const { keepVolumes, force } = options;
  requireName(cluster, options.confirm);
  const fate = keepVolumes ? 'Its containers will be removed; its data stays.' : 'All its data will be deleted. There is no way back.';
  const input = { cluster, confirm: cluster, keepVolumes, force, ...sharedInput(options) };
  return carryOut<'deprovision'>(session, {
    request: () => ({ operation: 'deprovision', input }),
    confirm: () => confirmName(session, cluster, { fate, ...(options.confirm === undefined ? {} : { given: options.confirm }) }),
    options,
  });
}
