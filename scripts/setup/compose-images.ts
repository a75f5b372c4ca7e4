import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { objectsShim, postgresEntrypoint } from './compose-entrypoints.ts';
import { go } from './go.ts';
import { checkout, paths } from './home.ts';
import { type DebianImage, importDebianImage } from './rootfs.ts';
import { ask, CannotGoOn, CommandFailed, run } from './run.ts';

/**
 * Images made here that stand in for the public ones which docker-compose.yml names, for the test that brings it up where there is no
 * registry. They behave like those as far as the compose file uses them. Temporal, its tools and its UI are the same sources at the same
 * versions, PostgreSQL is Debian's. SeaweedFS is not to be had from Go's module proxy: versitygw answers on its port instead.
 */
export const composeImages = {
  postgres: 'holdfast-test/postgres:17-1',
  /** Temporal's server, tools and UI, and the stand-in for SeaweedFS. */
  services: 'holdfast-test/services:1.31.2-1',
  node: 'holdfast-test/node:24-1',
} as const;

const GO_PROGRAMS = [
  { name: 'temporal-server', module: 'go.temporal.io/server/cmd/server@v1.31.2', makes: 'server' },
  { name: 'temporal-sql-tool', module: 'go.temporal.io/server/cmd/tools/sql@v1.31.2', makes: 'sql' },
  { name: 'ui-server', module: 'github.com/temporalio/ui-server/v2/cmd/server@v2.50.1', makes: 'server' },
] as const;

/** Builds the programs that the cache lacks. */
async function ensurePrograms(announce: (what: string) => void): Promise<void> {
  for (const { name, module, makes } of GO_PROGRAMS) {
    if (existsSync(join(paths.bin, name))) continue;
    announce(`building ${name} with Go, once`);
    const work = join(paths.build, name);
    mkdirSync(work, { recursive: true });
    const options = { env: { GOBIN: work }, logFile: join(paths.log, `${name}-build.log`) };
    await go(['install', '-ldflags=-s -w', module], announce, options);
    renameSync(join(work, makes), join(paths.bin, name));
  }
}

const script = (rootfs: string, path: string, text: string) => writeFileSync(join(rootfs, path), text, { mode: 0o755 });

const program = (rootfs: string, name: string, path = `usr/local/bin/${name}`) => {
  const from = join(paths.bin, name);
  if (!existsSync(from))
    throw new CannotGoOn(`${from} is missing: unset HOLDFAST_S3_ENDPOINT and run scripts/bootstrap once, which makes it.`);
  copyFileSync(from, join(rootfs, path));
};

const postgres: DebianImage = {
  reference: composeImages.postgres,
  suite: 'trixie',
  packages: ['postgresql-17'],
  changes: [
    'ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]',
    'CMD ["postgres"]',
  ],
  furnish: async (rootfs) => script(rootfs, 'usr/local/bin/docker-entrypoint.sh', postgresEntrypoint),
};

const services: DebianImage = {
  reference: composeImages.services,
  suite: 'bookworm',
  packages: ['netcat-openbsd', 'ca-certificates'],
  // The compose file names the command of each service but the UI, whose public image starts by itself.
  changes: ['WORKDIR /home/ui-server', 'ENTRYPOINT ["./ui-server", "--env", "docker", "start"]'],
  furnish: async (rootfs) => {
    for (const name of ['temporal-server', 'temporal-sql-tool', 'temporal', 'versitygw']) program(rootfs, name);
    script(rootfs, 'usr/local/bin/weed', objectsShim);
    mkdirSync(join(rootfs, 'home/ui-server/config'), { recursive: true });
    program(rootfs, 'ui-server', 'home/ui-server/ui-server');
    const module = 'github.com/temporalio/ui-server/v2@v2.50.1';
    copyFileSync(join(await moduleFolder(module), 'config/docker.yaml'), join(rootfs, 'home/ui-server/config/docker.yaml'));
  },
};

/** Where Go keeps a module's files. */
async function moduleFolder(module: string): Promise<string> {
  const output = await go(['mod', 'download', '-json', module], () => undefined, { cwd: paths.build });
  const { Dir: folder } = JSON.parse(output.slice(output.indexOf('{'))) as { readonly Dir: string };
  return folder;
}

const node: DebianImage = {
  reference: composeImages.node,
  suite: 'bookworm',
  packages: ['libstdc++6', 'ca-certificates'],
  // A network that inspects TLS has its own authority: what this machine trusts, the build must trust.
  changes: ['ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt', 'CMD ["node"]'],
  furnish: async (rootfs) => {
    copyFileSync(join(checkout, 'node_modules/node/bin/node'), join(rootfs, 'usr/local/bin/node'));
    const version = await run('npm', ['--version']);
    await run('npm', [
      'install',
      '--no-audit',
      '--no-fund',
      '--prefix',
      join(rootfs, 'usr/local/lib'),
      `npm@${version.split('\n').at(-1)}`,
    ]);
    await run('ln', ['-s', '../lib/node_modules/npm/bin/npm-cli.js', join(rootfs, 'usr/local/bin/npm')]);
    const trusted = '/etc/ssl/certs/ca-certificates.crt';
    if (existsSync(trusted)) copyFileSync(trusted, join(rootfs, trusted));
  },
};

/** Makes the images that are missing. */
export async function ensureComposeImages(announce: (what: string) => void): Promise<string> {
  const wanted = [postgres, services, node];
  const present = await Promise.all(wanted.map(({ reference }) => ask('docker', ['image', 'inspect', '--format', '{{.Id}}', reference])));
  const missing = wanted.filter((_, index) => present[index] === undefined);
  if (missing.length === 0) return 'images for the compose test are there';
  try {
    if (missing.includes(services)) await ensurePrograms(announce);
    announce(`making ${missing.map(({ reference }) => reference).join(', ')}`);
    const results = await Promise.allSettled(missing.map(importDebianImage));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  } catch (error) {
    if (error instanceof CommandFailed) throw new CannotGoOn(`An image for the compose test could not be made: ${error.message}`);
    throw error;
  } finally {
    for (const { name } of GO_PROGRAMS) rmSync(join(paths.build, name), { recursive: true, force: true });
  }
  return `${missing.length} images for the compose test made`;
}
