import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { contextHost } from './docker.ts';
import { paths } from './home.ts';

/** The variables of settings.env; none when there is no file. */
export function readSettingsFile(): Readonly<Record<string, string>> {
  if (!existsSync(paths.settings)) return {};
  const entries = Object.entries(parseEnv(readFileSync(paths.settings, 'utf8')));
  return Object.fromEntries(entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** Writes variables into settings.env, keeping the others; undefined takes one out. Only its owner can read it: it holds the object store's key. */
export function writeSettingsFile(changes: Readonly<Record<string, string | undefined>>): void {
  const all = { ...readSettingsFile(), ...changes };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}="${value}"`]));
  const text = `# Settings of the quickstart's services, written by scripts/bootstrap and scripts/quickstart.ts; docs/settings.md explains them.\n${lines.join('\n')}\n`;
  if (existsSync(paths.settings) && readFileSync(paths.settings, 'utf8') === text) return;
  const draft = `${paths.settings}.new`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, paths.settings);
}

/** The master key and the object store's key: made once, never overwritten, since what they seal cannot be opened without them. */
export async function ensureSettings(): Promise<string> {
  const done: string[] = [];
  if (!existsSync(paths.masterKey)) {
    writeFileSync(paths.masterKey, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
    done.push('master key made');
  }
  chmodSync(paths.masterKey, 0o600);
  const known = readSettingsFile();
  const wanted: Record<string, string | undefined> = { HOLDFAST_MASTER_KEY_FILE: paths.masterKey };
  if (!process.env.HOLDFAST_S3_ENDPOINT && known.HOLDFAST_S3_ACCESS_KEY_ID === undefined) {
    wanted.HOLDFAST_S3_ACCESS_KEY_ID = `holdfast-${randomBytes(6).toString('hex')}`;
    wanted.HOLDFAST_S3_SECRET_ACCESS_KEY = randomBytes(24).toString('hex');
    done.push('object store key made');
  }
  // The engine that bootstrap has just found: the Docker CLI's variable or context, under the name that the worker reads.
  wanted.HOLDFAST_DOCKER_HOST = process.env.DOCKER_HOST || (await contextHost());
  writeSettingsFile(wanted);
  return done.length === 0 ? 'keys and settings.env are there' : done.join(', ');
}
