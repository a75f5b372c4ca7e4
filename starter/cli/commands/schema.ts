import { inputSchema, schemaNames } from '../../schemas.ts';
import { type ExitCode, exitCodes } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import type { Session } from '../session.ts';

/** `holdfast schema [name]`: the JSON Schema of the spec or of an operation's input. */
export async function schema(session: Session, name: string): Promise<ExitCode> {
  if (!schemaNames.includes(name)) throw new CliError(`There is no schema "${name}". Known: ${schemaNames.join(', ')}`);
  session.terminal.print(JSON.stringify(inputSchema(name), undefined, 2));
  return exitCodes.ok;
}
