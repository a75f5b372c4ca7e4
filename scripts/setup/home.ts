import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** The checkout. */
export const checkout = resolve(import.meta.dirname, '..', '..');

/** Where bootstrap keeps what it makes, outside the checkout: `$HOLDFAST_HOME`, by default `~/.cache/holdfast`. */
export const home = process.env.HOLDFAST_HOME || join(homedir(), '.cache', 'holdfast');

const inHome = (...parts: readonly string[]) => join(home, ...parts);

/** Files and folders of the home. */
export const paths = {
  bin: inHome('bin'),
  /** The Temporal CLI, which holds the dev server. A link when it was found on PATH. */
  temporal: inHome('bin', 'temporal'),
  versitygw: inHome('bin', 'versitygw'),
  masterKey: inHome('master.key'),
  /** Settings of the quickstart's services, as a dotenv file. The worker and the CLI read it. */
  settings: inHome('settings.env'),
  /** One file a running service; see services.ts. */
  run: inHome('run'),
  log: inHome('log'),
  /** Temporal's database and the object store of the quickstart. */
  data: inHome('data'),
  /** Work in progress; safe to delete when no bootstrap runs. */
  build: inHome('build'),
} as const;

/** Makes the folders of the home. */
export function ensureHome(): void {
  for (const folder of [paths.bin, paths.run, paths.log, paths.data, paths.build]) mkdirSync(folder, { recursive: true });
}
