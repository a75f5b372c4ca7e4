import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { paths } from './home.ts';
import { CannotGoOn, canInstallPackages, run, which } from './run.ts';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** The lines of apt's sources, in both of its formats. */
function aptSources(): readonly string[] {
  const folder = '/etc/apt/sources.list.d';
  const files = ['/etc/apt/sources.list', ...listFolder(folder).map((name) => join(folder, name))];
  return files.filter((file) => /\.(list|sources)$/.test(file)).flatMap((file) => readLines(file));
}

const listFolder = (folder: string): readonly string[] => {
  try {
    return readdirSync(folder).sort();
  } catch {
    return []; // a machine without the folder has no such sources
  }
};

const readLines = (file: string): readonly string[] => {
  try {
    return readFileSync(file, 'utf8').split('\n');
  } catch {
    return []; // either file may be absent
  }
};

/**
 * The Debian mirror of this machine, as apt's own sources name it.
 * @throws CannotGoOn when apt knows no mirror that ends in /debian.
 */
export function debianMirror(): string {
  for (const line of aptSources()) {
    const match = /^(?:URIs:|deb\s(?:\[[^\]]*\]\s)?)\s*(\S+?\/debian)\/?(?:\s|$)/.exec(line);
    if (match?.[1] !== undefined) return match[1];
  }
  throw new CannotGoOn("apt's sources name no Debian mirror: on another system than Debian, install the missing part by its own packages.");
}

/** Makes Debian packages installed. Only as root; recommended packages are left out. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  if (!canInstallPackages()) throw new CannotGoOn(`Install ${packages.join(', ')} (or run this as root on Debian), then run this again.`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-q'], { env, logFile: join(paths.log, 'apt-update.log') });
  await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], {
    env,
    logFile: join(paths.log, 'apt-install.log'),
  });
}

/**
 * Downloads packages of a Debian suite and unpacks them into a folder, installing nothing. apt itself checks signatures and hashes, with
 * lists of its own so that the machine's sources stay as they are.
 */
export async function unpackFromSuite(suite: string, packages: readonly string[], target: string): Promise<void> {
  if (which('apt-get') === undefined || which('dpkg-deb') === undefined)
    throw new CannotGoOn(`This needs apt: install ${packages.join(', ')} yourself.`);
  const work = join(paths.build, `apt-${suite}`);
  rmSync(work, { recursive: true, force: true });
  for (const folder of ['lists/partial', 'cache/archives/partial', 'debs']) mkdirSync(join(work, folder), { recursive: true });
  writeFileSync(join(work, 'sources.list'), `deb [signed-by=${KEYRING}] ${debianMirror()} ${suite} main\n`);
  writeFileSync(join(work, 'status'), '');
  const options = {
    'Dir::Etc::SourceList': join(work, 'sources.list'),
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': join(work, 'lists'),
    'Dir::State::Status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'APT::Sandbox::User': 'root', // the cache may lie where the user _apt cannot write
    'Acquire::Languages': 'none',
  };
  const apt = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const debs = join(work, 'debs');
  await run('apt-get', [...apt, 'update', '-q'], { logFile: join(paths.log, `apt-${suite}-update.log`) });
  await run('apt-get', [...apt, 'download', '-q', ...packages], { cwd: debs, logFile: join(paths.log, `apt-${suite}-download.log`) });
  mkdirSync(target, { recursive: true });
  for (const deb of readdirSync(debs)) await run('dpkg-deb', ['-x', join(debs, deb), target]);
  rmSync(work, { recursive: true, force: true });
}
