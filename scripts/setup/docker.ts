import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { installPackages, unpackFromSuite } from './debian.ts';
import { paths } from './home.ts';
import { ask, CannotGoOn, canInstallPackages, which } from './run.ts';

/** The engine that everything talks to: Holdfast's own setting first, then the Docker CLI's. */
export function useDockerHost(): void {
  const host = process.env.HOLDFAST_DOCKER_HOST || process.env.DOCKER_HOST;
  if (host !== undefined && host !== '') process.env.DOCKER_HOST = host;
}

/** What the Docker CLI and Holdfast use when nobody says otherwise. */
const DEFAULT_SOCKET = 'unix:///var/run/docker.sock';

/**
 * The engine of the Docker CLI's current context, as Colima, Docker Desktop and a rootless engine set one: the CLI knows it, the worker does not.
 * Undefined when it is the default socket, and when a variable names the engine, which goes before any context.
 */
export async function contextHost(): Promise<string | undefined> {
  if (process.env.DOCKER_HOST) return undefined;
  const host = (await ask('docker', ['context', 'inspect', '--format', '{{.Endpoints.docker.Host}}']))?.trim();
  return host === undefined || host === DEFAULT_SOCKET || !/^(unix|tcp|ssh|https?):\/\//.test(host) ? undefined : host;
}

const engineVersion = async (): Promise<string | undefined> => {
  const version = await ask('docker', ['version', '--format', '{{.Server.Version}}']);
  return version === undefined || version === '' ? undefined : version.split('\n')[0];
};

/** An engine that answers; else one installed and started here, as root on Debian. */
export async function ensureEngine(announce: (what: string) => void): Promise<string> {
  const running = await engineVersion();
  if (running !== undefined) return `engine ${running} answers`;
  if (process.env.DOCKER_HOST)
    throw new CannotGoOn(
      `No Docker engine answers at ${process.env.DOCKER_HOST}: start it, or unset DOCKER_HOST and HOLDFAST_DOCKER_HOST.`,
    );
  const context = await contextHost();
  if (context !== undefined)
    throw new CannotGoOn(
      `No Docker engine answers at ${context}, which the Docker CLI's context names: start it, or choose another (docker context use default).`,
    );
  if (!canInstallPackages()) {
    const client =
      which('docker') === undefined
        ? 'Install Docker Engine 20.10 or later with its client'
        : 'Start the Docker engine, or let this user use its socket (group docker)';
    throw new CannotGoOn(`No Docker engine answers. ${client}, then run this again.`);
  }
  let installed = false;
  if (which('dockerd') === undefined || which('docker') === undefined) {
    announce('no engine: installing docker.io from apt');
    const client = (await ask('apt-cache', ['show', 'docker-cli'])) ? ['docker-cli'] : [];
    await installPackages(['docker.io', ...client, 'debootstrap', 'iptables', 'ca-certificates']);
    installed = true;
  }
  // The package starts the engine itself where an init system runs.
  if (installed && (await answersWithin(5_000)) !== undefined) return `engine ${await engineVersion()} installed and answering`;
  const version = await startDockerd();
  return `engine ${version} ${installed ? 'installed and ' : ''}started`;
}

async function startDockerd(): Promise<string> {
  const logFile = join(paths.log, 'dockerd.log');
  const log = openSync(logFile, 'a');
  const child = spawn('dockerd', [], { detached: true, stdio: ['ignore', log, log] });
  child.on('error', () => undefined); // told below: it does not answer
  child.unref();
  const version = await answersWithin(60_000);
  if (version !== undefined) return version;
  const lastLines = readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
  throw new CannotGoOn(`dockerd was started but does not answer; its log is ${logFile}:\n${lastLines}`);
}

async function answersWithin(timeoutMs: number): Promise<string | undefined> {
  const until = Date.now() + timeoutMs;
  while (Date.now() < until) {
    const version = await engineVersion();
    if (version !== undefined) return version;
    await delay(300); // between two questions; the condition above ends the wait
  }
  return undefined;
}

/**
 * Compose v2. Debian's package goes to ~/.docker/cli-plugins and not under the cache with DOCKER_CONFIG: that variable would also hide the
 * person's own registry logins and contexts, and `docker compose` would not work when typed by hand.
 */
export async function ensureCompose(announce: (what: string) => void): Promise<string> {
  const found = await ask('docker', ['compose', 'version', '--short']);
  if (found !== undefined) return `Compose ${found} is there`;
  announce('no Compose plugin: taking the one of Debian trixie');
  const unpacked = join(paths.build, 'compose');
  await unpackFromSuite('trixie', ['docker-compose'], unpacked);
  const plugins = join(process.env.DOCKER_CONFIG || join(homedir(), '.docker'), 'cli-plugins');
  mkdirSync(plugins, { recursive: true });
  const plugin = join(plugins, 'docker-compose');
  if (!existsSync(plugin)) copyFileSync(join(unpacked, 'usr/libexec/docker/cli-plugins/docker-compose'), plugin);
  rmSync(unpacked, { recursive: true, force: true });
  const made = await ask('docker', ['compose', 'version', '--short']);
  if (made === undefined)
    throw new CannotGoOn(`The Compose plugin in ${plugin} does not run here: install Docker Compose v2, then run this again.`);
  return `Compose ${made} unpacked to ${plugin}`;
}
