import type { OperationInput } from '../../../config/operations.ts';
import { carryOut } from '../carry-out.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { type OutputFormat, renderOutput } from '../output.ts';
import type { Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';
import { renderKeys } from '../view/keys-view.ts';
import { waiting } from '../waiting.ts';

export interface RotateKeysOptions extends StartingOptions {
  readonly newKey: boolean;
}

export function rotateKeysInputOf(cluster: string, options: RotateKeysOptions): OperationInput<'rotateKeys'> {
  return { cluster, newKey: options.newKey, ...sharedInput(options) };
}

/** `holdfast keys rotate <cluster>` */
export async function rotateKeys(session: Session, cluster: string, options: RotateKeysOptions): Promise<ExitCode> {
  const input = rotateKeysInputOf(cluster, options);
  return carryOut<'rotateKeys'>(session, { request: () => ({ operation: 'rotateKeys', input }), options });
}

/** `holdfast keys list` */
export async function listKeys(session: Session, { output }: { readonly output: OutputFormat }): Promise<ExitCode> {
  const { terminal } = session;
  const found = await waiting(terminal, 'looking for keys', (await session.holdfast()).keys());
  terminal.print(renderOutput(output, found, () => renderKeys(found, terminal.style)));
  return exitCodes.ok;
}
