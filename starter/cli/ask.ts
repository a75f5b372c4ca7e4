import { createInterface } from 'node:readline/promises';
import { exitCodes } from './exit-codes.ts';
import { CliError } from './explain-error.ts';

/** Asks on the terminal. Ctrl-C and Ctrl-D end the command: no answer is never a yes. */
export async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const gone = new AbortController();
  lines.once('SIGINT', () => gone.abort());
  lines.once('close', () => gone.abort());
  try {
    return (await lines.question(question, { signal: gone.signal })).trim();
  } catch (error) {
    if (!gone.signal.aborted) throw error;
    process.stderr.write('\n');
    throw new CliError('Nothing was changed.', exitCodes.interrupted);
  } finally {
    lines.close();
  }
}

/** True for y or yes. */
export const askYes = async (question: string): Promise<boolean> => /^y(es)?$/i.test(await ask(`${question} [y/N] `));
