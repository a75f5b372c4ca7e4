import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { go } from './go.ts';
import { checkout, paths } from './home.ts';
import { ask, CannotGoOn, run, which } from './run.ts';

const CLI_VERSION = 'v1.8.2';

/** A module whose only tool is the CLI. The CLI's own replace of `cliext` points into its repository; a module from outside must name a version. */
const TOOL_MODULE = `module holdfast.tools/temporal

go 1.26

require github.com/temporalio/cli ${CLI_VERSION}

replace github.com/temporalio/cli/cliext => github.com/temporalio/cli/cliext v0.0.0-20260731000218-c579925f193f
`;

/** Blank import of a program: what makes `go mod tidy` keep its requirements. The tag keeps it out of every build. */
const TOOL_IMPORT = `//go:build tools

package tools

import _ "github.com/temporalio/cli/cmd/temporal"
`;

const versionOf = async (program: string) => (await ask(program, ['--version']))?.match(/version (\S+)(?: \(Server ([\d.]+))?/);

const describe = (match: RegExpMatchArray) => (match[2] === undefined ? `CLI ${match[1]}` : `CLI with server ${match[2]}`);

/** The Temporal CLI at paths.temporal: from PATH, from the cache, downloaded by the SDK, or built with Go. */
export async function ensureTemporal(announce: (what: string) => void): Promise<string> {
  if (existsSync(paths.temporal)) {
    const cached = await versionOf(paths.temporal);
    if (cached) return `${describe(cached)} is in the cache`;
  }
  rmSync(paths.temporal, { force: true }); // also a link whose target has gone
  const onPath = which('temporal');
  const found = onPath === undefined ? undefined : await versionOf(onPath);
  if (onPath !== undefined && found) {
    symlinkSync(onPath, paths.temporal);
    return `${describe(found)} found at ${onPath}`;
  }
  if (await download()) return `CLI ${CLI_VERSION} downloaded by the SDK`;
  announce('CLI cannot be downloaded: building it with Go, about 4 minutes, once');
  await build(announce);
  const built = await versionOf(paths.temporal);
  if (!built)
    throw new CannotGoOn(
      `The Temporal CLI was built but does not run: put a working temporal ${CLI_VERSION} on PATH, then run this again.`,
    );
  return `${describe(built)} built with Go`;
}

/** In a process of its own: the SDK's download cannot be cancelled, and a network that swallows packets would hold it for minutes. */
async function download(): Promise<boolean> {
  const target = join(paths.build, 'temporal-download');
  mkdirSync(target, { recursive: true });
  const script = join(checkout, 'scripts', 'setup', 'download-temporal.ts');
  const found = await ask(process.execPath, [script, CLI_VERSION, target], { timeoutMs: 90_000 });
  const file = found?.split('\n').at(-1);
  if (file === undefined || !existsSync(file)) return false;
  renameSync(file, paths.temporal);
  return true;
}

async function build(announce: (what: string) => void): Promise<void> {
  const work = join(paths.build, 'temporal');
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'go.mod'), TOOL_MODULE);
  writeFileSync(join(work, 'tools.go'), TOOL_IMPORT);
  const made = join(work, 'temporal.new');
  try {
    await go(['mod', 'tidy'], announce, { cwd: work, logFile: join(paths.log, 'temporal-tidy.log') });
    await go(['build', '-o', made, 'github.com/temporalio/cli/cmd/temporal'], announce, {
      cwd: work,
      logFile: join(paths.log, 'temporal-build.log'),
    });
  } catch (error) {
    if (error instanceof CannotGoOn) throw error;
    throw new CannotGoOn(
      `The Temporal CLI could be neither downloaded nor built: put temporal ${CLI_VERSION} on PATH, then run this again.\n${error instanceof Error ? error.message : error}`,
    );
  }
  renameSync(made, paths.temporal); // whole or not at all: an interrupted build leaves nothing in bin
}

/** Makes versitygw, a gateway that serves a folder as S3, unless the settings name an object store. */
export async function ensureObjectStore(announce: (what: string) => void): Promise<string> {
  if (process.env.HOLDFAST_S3_ENDPOINT) return 'HOLDFAST_S3_ENDPOINT is set: it is used';
  if (existsSync(paths.versitygw) && (await ask(paths.versitygw, ['--version'])) !== undefined) return 'versitygw is in the cache';
  announce('versitygw is missing: building it with Go, about 40 seconds, once');
  const work = join(paths.build, 'versitygw');
  mkdirSync(work, { recursive: true });
  try {
    await go(['install', 'github.com/versity/versitygw/cmd/versitygw@v1.7.0'], announce, {
      env: { GOBIN: work },
      logFile: join(paths.log, 'versitygw-build.log'),
    });
  } catch (error) {
    if (error instanceof CannotGoOn) throw error;
    throw new CannotGoOn(
      `versitygw could not be built: set HOLDFAST_S3_ENDPOINT to an S3 endpoint of yours, then run this again.\n${error instanceof Error ? error.message : error}`,
    );
  }
  await run(join(work, 'versitygw'), ['--version']);
  renameSync(join(work, 'versitygw'), paths.versitygw);
  return 'versitygw v1.7.0 built with Go';
}
