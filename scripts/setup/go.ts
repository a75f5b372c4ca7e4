import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { unpackFromSuite } from './debian.ts';
import { home } from './home.ts';
import { ask, CannotGoOn, type RunOptions, run, which } from './run.ts';

const OWN_GO = join(home, 'go', 'usr', 'lib', 'go-1.24', 'bin', 'go');

/** From 1.21 on, Go fetches by itself the newer toolchain that a module asks for. */
const canFetchToolchains = (version: string) => {
  const [major = 0, minor = 0] = (/go(\d+)\.(\d+)/.exec(version) ?? []).slice(1).map(Number);
  return major > 1 || (major === 1 && minor >= 21);
};

let known: Promise<string> | undefined;

/** The `go` to use: the machine's, or Debian trixie's unpacked in the cache. Only asked for when something must be built. */
function goProgram(announce: (what: string) => void): Promise<string> {
  known ??= findGo(announce);
  return known;
}

async function findGo(announce: (what: string) => void): Promise<string> {
  const onPath = which('go');
  if (onPath !== undefined && canFetchToolchains((await ask(onPath, ['env', 'GOVERSION'])) ?? '')) return onPath;
  if (existsSync(OWN_GO)) return OWN_GO;
  announce("no Go: unpacking Debian trixie's into the cache");
  try {
    await unpackFromSuite('trixie', ['golang-1.24-go', 'golang-1.24-src'], join(home, 'go'));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CannotGoOn(`This part must be built and Go is missing: install Go 1.21 or later (go.dev/dl), then run this again.\n${why}`);
  }
  return OWN_GO;
}

/** Runs `go`, whose output it returns, with static builds, and with leave to fetch the toolchain that the module names. */
export async function go(args: readonly string[], announce: (what: string) => void, options: RunOptions = {}): Promise<string> {
  const env = { CGO_ENABLED: '0', GOTOOLCHAIN: 'auto', GOFLAGS: '-buildvcs=false', GOWORK: 'off', ...options.env };
  return run(await goProgram(announce), args, { timeoutMs: 1_800_000, ...options, env });
}
