import type { OperationInput } from '../../../config/operations.ts';
import { carryOut } from '../carry-out.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';

export interface RotateOptions extends StartingOptions {
  readonly graceSeconds?: number;
}

export function rotateInputOf(cluster: string, options: RotateOptions): OperationInput<'rotate'> {
  return { cluster, graceSeconds: options.graceSeconds, ...sharedInput(options) };
}

/** `holdfast backup rotate <cluster>` */
export async function rotate(session: Session, cluster: string, options: RotateOptions): Promise<ExitCode> {
  const input = rotateInputOf(cluster, options);
  return carryOut<'rotate'>(session, { request: () => ({ operation: 'rotate', input }), options });
}

/** `holdfast backup hold | release <cluster> <backup>`: nothing is lost by either, so nobody is asked. */
export async function hold(
  session: Session,
  { cluster, backup, held }: { readonly cluster: string; readonly backup: string; readonly held: boolean },
  options: StartingOptions,
): Promise<ExitCode> {
  const input = { cluster, backup, held, ...sharedInput(options) };
  return carryOut<'hold'>(session, { request: () => ({ operation: 'hold', input }), options: { ...options, yes: true } });
}
