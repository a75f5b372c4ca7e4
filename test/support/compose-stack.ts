import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { composeImages } from '../../scripts/setup/compose-images.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { freePort } from '../../scripts/setup/ports.ts';
import { ask, CommandFailed, run } from '../../scripts/setup/run.ts';

/** The project's own docker-compose.yml, up under a name and on ports of its own. */
export interface ComposeStack {
  readonly temporalAddress: string;
  readonly uiAddress: string;
  /** Runs `docker compose` on this stack. */
  compose(...args: readonly string[]): Promise<string>;
  /** Removes its containers, volumes, networks and the worker's image. */
  down(): Promise<void>;
}

const socketOf = (host: string | undefined) => (host?.startsWith('unix://') ? host.slice('unix://'.length) : '/var/run/docker.sock');

/**
 * Brings docker-compose.yml up with images made here (`scripts/bootstrap --with-compose-images`) and waits until every service is healthy.
 * @throws CommandFailed with the services' last log lines when one does not become healthy.
 */
export async function startComposeStack(): Promise<ComposeStack> {
  const project = `hftest-${randomBytes(3).toString('hex')}`;
  const [temporalPort, uiPort, objectsPort] = [await freePort(), await freePort(), await freePort()];
  const socket = socketOf(process.env.HOLDFAST_DOCKER_HOST ?? process.env.DOCKER_HOST);
  const workerImage = `holdfast-test/worker:${project}`;
  const env = {
    COMPOSE_PROJECT_NAME: project,
    POSTGRES_IMAGE: composeImages.postgres,
    TEMPORAL_IMAGE: composeImages.services,
    TEMPORAL_TOOLS_IMAGE: composeImages.services,
    TEMPORAL_UI_IMAGE: composeImages.services,
    SEAWEEDFS_IMAGE: composeImages.services,
    HOLDFAST_NODE_IMAGE: composeImages.node,
    HOLDFAST_WORKER_IMAGE: workerImage,
    TEMPORAL_PORT: String(temporalPort),
    TEMPORAL_UI_PORT: String(uiPort),
    OBJECTS_PORT: String(objectsPort),
    POSTGRES_PASSWORD: randomBytes(12).toString('hex'),
    HOLDFAST_S3_SECRET_ACCESS_KEY: randomBytes(12).toString('hex'),
    HOLDFAST_MASTER_KEY: randomBytes(32).toString('base64'),
    HOLDFAST_SUBNET_POOL: '10.214.0.0/16',
    DOCKER_SOCKET: socket,
    DOCKER_GID: String(statSync(socket).gid),
  };
  const compose = (...args: readonly string[]) =>
    run('docker', ['compose', '--progress', 'plain', ...args], { cwd: checkout, env, timeoutMs: 400_000 });
  const down = async () => {
    await compose('down', '--volumes', '--remove-orphans', '--timeout', '10');
    await ask('docker', ['image', 'rm', workerImage]);
  };
  try {
    await compose('up', '--build', '--detach', '--wait', '--wait-timeout', '180');
  } catch (error) {
    const logs = await compose('logs', '--no-color', '--tail', '15').catch(String);
    await down();
    throw new CommandFailed(`${error instanceof Error ? error.message : error}\n${logs}`, logs);
  }
  return { temporalAddress: `127.0.0.1:${temporalPort}`, uiAddress: `http://127.0.0.1:${uiPort}`, compose, down };
}
