import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { debianMirror, installPackages } from './debian.ts';
import { paths } from './home.ts';
import { CannotGoOn, CommandFailed, run, which } from './run.ts';

export interface DebianImage {
  readonly reference: string;
  readonly suite: string;
  readonly packages: readonly string[];
  /** Dockerfile instructions for `docker import --change`. */
  readonly changes?: readonly string[];
  /** Puts more files in before the image is made. */
  readonly furnish?: (rootfs: string) => Promise<void>;
}

/** What a container never reads: it is half of a Debian root. */
const BALLAST = [
  'var/lib/apt/lists',
  'var/cache/apt',
  'var/cache/debconf',
  'var/log',
  'usr/share/doc',
  'usr/share/man',
  'usr/share/info',
  'usr/share/locale',
];

let installing: Promise<void> | undefined;

/** Images are made two at a time, and apt refuses to run twice: both wait for one installation. */
function ensureDebootstrap(): Promise<void> {
  if (which('debootstrap') !== undefined) return Promise.resolve();
  installing ??= installPackages(['debootstrap']);
  return installing;
}

/**
 * Makes an image from Debian packages alone. The label `holdfast.source` tells it from a pulled one.
 * @throws CannotGoOn when debootstrap is missing and cannot be installed, or fails.
 */
export async function importDebianImage(image: DebianImage): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new CannotGoOn(
      `${image.reference} cannot be pulled, and only root can make it from Debian packages: run this as root, or load the image yourself.`,
    );
  await ensureDebootstrap();
  const rootfs = mkdtempSync(join(paths.build, 'rootfs-'));
  try {
    const logFile = join(paths.log, `image-${image.reference.replaceAll(/[^\w.-]/g, '-')}.log`);
    await run('debootstrap', ['--variant=minbase', `--include=${image.packages.join(',')}`, image.suite, rootfs, debianMirror()], {
      logFile,
    });
    for (const folder of BALLAST) rmSync(join(rootfs, folder), { recursive: true, force: true });
    await run('mkdir', ['-p', join(rootfs, 'var/log'), join(rootfs, 'var/lib/apt/lists'), join(rootfs, 'var/cache/apt')]);
    await image.furnish?.(rootfs);
    await importFolder(rootfs, image.reference, [`LABEL holdfast.source=debian:${image.suite}`, ...(image.changes ?? [])]);
  } catch (error) {
    if (error instanceof CommandFailed)
      throw new CannotGoOn(`The image ${image.reference} could not be made from Debian packages: ${error.message}`);
    throw error;
  } finally {
    rmSync(rootfs, { recursive: true, force: true });
  }
}

async function importFolder(rootfs: string, reference: string, changes: readonly string[]): Promise<void> {
  const tar = spawn('tar', ['-C', rootfs, '--numeric-owner', '-c', '.'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const docker = spawn('docker', ['import', ...changes.flatMap((change) => ['--change', change]), '-', reference], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let errors = '';
  docker.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const ended = (child: typeof tar | typeof docker) => new Promise<number | null>((resolve) => child.on('close', resolve));
  const codes = Promise.all([ended(tar), ended(docker)]);
  await pipeline(tar.stdout, docker.stdin).catch(() => undefined); // the exit codes below say what failed
  const [tarCode, dockerCode] = await codes;
  if (tarCode !== 0 || dockerCode !== 0)
    throw new CommandFailed(`docker import: exit code ${dockerCode}, tar: ${tarCode}\n${errors.trim()}`, errors);
}
