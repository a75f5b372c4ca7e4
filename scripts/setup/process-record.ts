import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { paths } from './home.ts';
import { ask } from './run.ts';

/** What run/<name>.json says of a process that we started. */
interface ProcessRecord {
  readonly pid: number;
  /** Tells the process from a later one that got the same pid. */
  readonly identity: string;
  /** What it was started with; another value asks for a restart. */
  readonly fingerprint: string;
}

const recordFile = (name: string) => join(paths.run, `${name}.json`);
export const logFile = (name: string) => join(paths.log, `${name}.log`);

/** When the process began and what it runs; undefined when there is no such process. */
async function identityOf(pid: number): Promise<string | undefined> {
  if (existsSync('/proc/self/stat')) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') return undefined; // ended, and its parent has not asked yet
      const startTicks = fields[18]; // field 22 of proc_pid_stat(5)
      return `${startTicks} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`;
    } catch {
      return undefined; // it has ended
    }
  }
  return ask('ps', ['-p', String(pid), '-o', 'lstart=', '-o', 'args=']);
}

function readRecord(name: string): ProcessRecord | undefined {
  try {
    return JSON.parse(readFileSync(recordFile(name), 'utf8')) as ProcessRecord;
  } catch {
    return undefined; // never started, or cut off while it was written: then nothing of ours is known to run
  }
}

/** The record of this name's process, when it runs and is truly the one that we started. */
export async function running(name: string): Promise<ProcessRecord | undefined> {
  const record = readRecord(name);
  return record !== undefined && (await identityOf(record.pid)) === record.identity ? record : undefined;
}

export interface Program {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly fingerprint?: string;
}

/** Starts a program that outlives this process, its output going to its log. */
export async function startDetached(program: Program): Promise<void> {
  const log = openSync(logFile(program.name), 'a', 0o600);
  const child = spawn(program.command, program.args, {
    cwd: program.cwd,
    env: { ...process.env, ...program.env },
    detached: true,
    stdio: ['ignore', log, log],
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  child.unref();
  const identity = await identityOf(pid);
  const record: ProcessRecord = { pid, identity: identity ?? 'ended', fingerprint: program.fingerprint ?? '' };
  writeFileSync(recordFile(program.name), JSON.stringify(record), { mode: 0o600 });
}

/** A worker ends what it does, and may wait for a failover; all others end in a moment. */
const TERM_GRACE_MS = 90_000;
const KILL_GRACE_MS = 10_000;

/**
 * Ends the process of this name and nothing else: SIGTERM, and SIGKILL when it is still there 90 s later.
 * @returns its pid, or undefined when none of ours ran.
 */
export async function stopRunning(name: string): Promise<number | undefined> {
  const record = await running(name);
  if (record !== undefined) {
    send(record.pid, 'SIGTERM');
    if (!(await goneWithin(record, TERM_GRACE_MS))) {
      send(record.pid, 'SIGKILL');
      await goneWithin(record, KILL_GRACE_MS);
    }
  }
  rmSync(recordFile(name), { force: true });
  return record?.pid;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it ended between the question and the signal
  }
}

async function goneWithin(record: ProcessRecord, timeoutMs: number): Promise<boolean> {
  const until = Date.now() + timeoutMs;
  while (Date.now() < until) {
    if ((await identityOf(record.pid)) !== record.identity) return true;
    await delay(50); // between two questions
  }
  return false;
}

/** The last lines of a service's log, for the message that says why it is not there. */
export function logTail(name: string, lines = 20): string {
  return existsSync(logFile(name)) ? readFileSync(logFile(name), 'utf8').trimEnd().split('\n').slice(-lines).join('\n') : '(no log)';
}
