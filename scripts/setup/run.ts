import { spawn } from 'node:child_process';
import { createWriteStream, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Something a person must do before bootstrap can go on. The message is one or two sentences; no stack is shown. */
export class CannotGoOn extends Error {
  override readonly name = 'CannotGoOn';
}

/** A command that ended with another code than 0, or in time. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly output: string;

  constructor(message: string, output: string) {
    super(message);
    this.output = output;
  }
}

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the command with SIGKILL after so long. Default: 15 minutes. */
  readonly timeoutMs?: number;
  /** Where the whole output goes as well, for a person to read after a failure. */
  readonly logFile?: string;
}

const KEPT_OUTPUT_CHARS = 200_000;

/**
 * Runs a command to its end.
 * @returns what it wrote to stdout and stderr, trimmed.
 * @throws CommandFailed with the last lines of its output.
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs ?? 900_000,
      killSignal: 'SIGKILL',
    });
    const log = options.logFile === undefined ? undefined : createWriteStream(options.logFile);
    let output = '';
    const keep = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-KEPT_OUTPUT_CHARS);
      log?.write(chunk);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => reject(new CommandFailed(`${command}: ${error.message}`, output)));
    child.on('close', (code, signal) => {
      log?.end();
      const text = output.trim();
      if (code === 0) resolve(text);
      else {
        const how = signal === null ? `exit code ${code}` : `ended by ${signal}`;
        const seeLog = options.logFile === undefined ? '' : ` (all of it: ${options.logFile})`;
        reject(new CommandFailed(`${command} ${args[0] ?? ''}: ${how}${seeLog}\n${text.split('\n').slice(-5).join('\n')}`, text));
      }
    });
  });
}

/** The same, but a failure is `undefined`: for asking whether something is there. */
export async function ask(command: string, args: readonly string[], options: RunOptions = {}): Promise<string | undefined> {
  return run(command, args, { timeoutMs: 20_000, ...options }).catch(() => undefined);
}

/** The path of a program on PATH. */
export function which(program: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path));
}

/** Whether this is root on Debian or what is made from it: apt may install what is missing. */
export function canInstallPackages(): boolean {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && which('apt-get') !== undefined;
}
