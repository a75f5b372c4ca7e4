import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { checkout } from '../../scripts/setup/home.ts';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `holdfast` as a script does: no terminal anywhere. */
export async function piped(
  args: readonly string[],
  { env = {}, input = '' }: { readonly env?: Readonly<Record<string, string>>; readonly input?: string } = {},
): Promise<Ended> {
  const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
  const child = spawn(process.execPath, ['starter/holdfast.js', ...args], {
    cwd: checkout,
    env: { ...inherited, HOLDFAST_HOME: '/nonexistent', ...env },
    stdio: 'pipe',
  });
  child.stdin.end(input);
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
