import { type EngineVersion, engineCatalogue } from '../../config/engines.ts';
import { importDebianImage } from './rootfs.ts';
import { ask, CannotGoOn } from './run.ts';

/** The Debian suite that has a server of this version. */
const SUITES: Readonly<Record<string, string>> = {
  'redis 7.0': 'bookworm',
  'redis 8.0': 'trixie',
  'valkey 8.1': 'trixie',
  'valkey 9.1': 'sid',
};

const label = ({ engine, version }: EngineVersion) => `${engine} ${version}`;

/** Images of every version in the catalogue: present, pulled, or made from Debian packages, two at a time. */
export async function ensureServerImages(announce: (what: string) => void): Promise<string> {
  const present = await Promise.all(
    engineCatalogue.map((entry) => ask('docker', ['image', 'inspect', '--format', '{{.Id}}', entry.image])),
  );
  const missing = engineCatalogue.filter((_, index) => present[index] === undefined);
  if (missing.length === 0) return `${engineCatalogue.map(label).join(', ')} are there`;

  const made: string[] = [];
  const queue = [...missing];
  const work = async () => {
    for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
      made.push(`${label(entry)} ${await makeImage(entry, announce)}`);
    }
  };
  const results = await Promise.allSettled([work(), work()]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return made.sort().join(', ');
}

async function makeImage(entry: EngineVersion, announce: (what: string) => void): Promise<string> {
  let how = 'pulled';
  if ((await ask('docker', ['pull', '--quiet', entry.image], { timeoutMs: 300_000 })) === undefined) {
    const suite = SUITES[label(entry)];
    if (suite === undefined)
      throw new CannotGoOn(
        `${entry.image} cannot be pulled, and no Debian suite has ${label(entry)}: load the image yourself, then run this again.`,
      );
    announce(`${entry.image} cannot be pulled: making it from Debian ${suite}`);
    await importDebianImage({ reference: entry.image, suite, packages: [`${entry.engine}-server`, `${entry.engine}-tools`] });
    how = `from Debian ${suite}`;
  }
  await checkVersion(entry);
  return how;
}

/** A suite moves on, and a tag may be anything: the server in the image must be the version that the catalogue promises. */
async function checkVersion(entry: EngineVersion): Promise<void> {
  const output = await ask('docker', ['run', '--rm', '--network', 'none', '--entrypoint', entry.server, entry.image, '--version'], {
    timeoutMs: 60_000,
  });
  const actual = output?.match(/v=(\d+\.\d+)/)?.[1];
  if (actual === entry.version) return;
  await ask('docker', ['image', 'rm', entry.image]);
  throw new CannotGoOn(
    `The image ${entry.image} holds ${actual === undefined ? 'no server that runs' : `version ${actual}`}, not ${label(entry)}; it was removed. Load the right image under this name, then run this again.`,
  );
}
