import { setTimeout as pause } from 'node:timers/promises';
import { spawn } from '@lydell/node-pty';
import xterm from '@xterm/headless';
import { checkout } from '../../scripts/setup/home.ts';

/** The CLI in a pseudo-terminal, and what a person would see on it. */
export interface Screen {
  /** The rows as they stand now, with what has scrolled away, without empty ones. */
  text(): string;
  /** Everything that was written, escape sequences and all. */
  raw(): string;
  /** Waits until the screen shows it. @throws with the screen when it does not */
  shows(what: string | RegExp, timeoutMs?: number): Promise<void>;
  type(keys: string): void;
  /** Exit code. */
  ended: Promise<number>;
}

export const keys = { enter: '\r', ctrlC: '\x03', ctrlD: '\x04' } as const;

const SIZE = { cols: 140, rows: 50 } as const;

export interface ScreenOptions {
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs `holdfast` with the arguments. */
export function holdfast(args: readonly string[], { env = {} }: ScreenOptions = {}): Screen {
  const terminal = new xterm.Terminal({ ...SIZE, scrollback: 5000, allowProposedApi: true });
  const { NO_COLOR: _, FORCE_COLOR: __, CI: ___, ...inherited } = process.env;
  const child = spawn(process.execPath, ['starter/holdfast.js', ...args], {
    ...SIZE,
    name: 'xterm-256color',
    cwd: checkout,
    env: { ...inherited, HOLDFAST_HOME: '/nonexistent', TERM: 'xterm-256color', ...env },
  });
  const chunks: string[] = [];
  child.onData((data) => {
    chunks.push(data);
    terminal.write(data);
  });
  const ended = new Promise<number>((resolve) => {
    child.onExit(({ exitCode }) => {
      terminal.write('', () => resolve(exitCode)); // after all that was written before has been drawn
    });
  });
  const text = () => {
    const { active } = terminal.buffer;
    const rows = Array.from({ length: active.length }, (_row, index) => active.getLine(index)?.translateToString(true) ?? '');
    return rows.filter((row) => row !== '').join('\n');
  };
  return {
    text,
    raw: () => chunks.join(''),
    async shows(what, timeoutMs = 20_000) {
      const end = Date.now() + timeoutMs;
      const seen = () => (typeof what === 'string' ? text().includes(what) : what.test(text()));
      while (!seen()) {
        if (Date.now() > end) throw new Error(`the screen does not show ${what} within ${timeoutMs} ms; it shows:\n${text()}`);
        await pause(50);
      }
    },
    type: (typed) => child.write(typed),
    ended,
  };
}
