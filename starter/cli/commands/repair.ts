import { carryOut } from '../carry-out.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { givenLimits, type LimitOptions, type StartingOptions, sharedInput } from '../shared-options.ts';

export type RepairOptions = StartingOptions & LimitOptions;

/** `holdfast repair <cluster>`: closes slots that anyone left open. */
export async function repair(session: Session, cluster: string, options: RepairOptions): Promise<ExitCode> {
  const input = { cluster, limits: givenLimits(options), ...sharedInput(options) };
  return carryOut<'repair'>(session, { request: () => ({ operation: 'repair', input }), options });
}
