import { readFileSync } from 'node:fs';
import { type Command, CommanderError } from 'commander';
import { loadSettingsFile } from '../../config/settings-file.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';
import { exitCodeOf, explainError } from './explain-error.ts';
import { buildProgram } from './program.ts';
import { createStyle, wantsColours } from './terminal.ts';

/** How long an exit waits for what still holds the process, such as a call that nobody waits for any more. */
const LINGER_MS = 500;

/** @param packageFile where the version stands */
export async function main(packageFile: URL): Promise<void> {
  let code: ExitCode | undefined;
  const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };
  const style = createStyle(wantsColours(process.stderr, process.env));
  const program = buildProgram(version, (c) => {
    code = c;
  });
  // Whoever reads it has seen enough: holdfast list | head -1
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      process.exit(code ?? exitCodes.ok);
    });
  prepare(program, (text) => void process.stderr.write(text.replace(/^error: /, `${style.bad('error')}: `)));
  try {
    loadSettingsFile();
    await program.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) code = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    else {
      code = exitCodeOf(error);
      const mark = code === exitCodes.interrupted ? '' : `${style.bad('error')}: `;
      process.stderr.write(`${mark}${explainError(error, program.opts<{ debug?: boolean }>().debug === true)}\n`);
    }
  }
  // A worker stays; everything else that ends has told its code.
  if (code === undefined) return;
  process.exitCode = code;
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

/** Commander ends the process by itself unless every command is told not to. */
function prepare(command: Command, writeError: (text: string) => void): void {
  command.exitOverride();
  command.configureOutput({ outputError: writeError });
  command.showHelpAfterError(`See: ${[...pathOf(command)].join(' ')} --help`);
  for (const child of command.commands) prepare(child, writeError);
}

function pathOf(command: Command): readonly string[] {
  return command.parent === null ? [command.name()] : [...pathOf(command.parent), command.name()];
}
