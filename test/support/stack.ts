import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { readSettings, type Settings } from '../../config/settings.ts';
import { checkout, paths } from '../../scripts/setup/home.ts';
import { createDependencies, type Dependencies } from '../../workers/dependencies.ts';
import { workerEnvironment, workerNodeFlags } from '../../workers/process.ts';
import { currentBundle } from './bundle.ts';
import { freePort, type Running, run, until } from './processes.ts';

/** Real servers of a test's own, in a folder of its own: they disturb nothing and nothing disturbs them. */
export interface Stack {
  readonly folder: string;
  /** Settings as environment variables, for workers and the CLI. */
  readonly env: Readonly<Record<string, string>>;
  readonly settings: Settings;
  readonly client: Client;
  /** The worker's own dependencies, for looking at what it did. */
  readonly dependencies: Dependencies;
  /** Starts a worker process. `entry` is another script, for the crash harness. */
  startWorker(options?: { readonly entry?: string; readonly env?: Record<string, string> }): Running;
  /** What every worker of this stack has written. */
  workerLog(): string;
  /** Ends the Temporal server and starts it again on the same database. */
  restartTemporal(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param withWorker starts one worker right away.
 *
 * Ports are free when they are chosen, and somebody else may take one before the server does: then it starts anew with others.
 */
export async function startStack({ withWorker = true }: { readonly withWorker?: boolean } = {}): Promise<Stack> {
  for (let tries = 1; ; tries++) {
    try {
      return await startOnce(withWorker);
    } catch (error) {
      if (tries === 3) throw error;
      process.stderr.write(`test stack did not start, trying other ports: ${String(error)}\n`);
    }
  }
}

async function startOnce(withWorker: boolean): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  const [temporalPort, uiPort, metricsPort, s3Port] = [await freePort(), await freePort(), await freePort(), await freePort()];
  mkdirSync(join(folder, 's3'));
  const env = {
    HOLDFAST_HOME: folder,
    HOLDFAST_TEMPORAL_ADDRESS: `127.0.0.1:${temporalPort}`,
    HOLDFAST_TEMPORAL_UI: `http://127.0.0.1:${uiPort}`,
    HOLDFAST_S3_ENDPOINT: `http://127.0.0.1:${s3Port}`,
    HOLDFAST_S3_ACCESS_KEY_ID: 'test',
    HOLDFAST_S3_SECRET_ACCESS_KEY: randomBytes(12).toString('hex'),
    // The second one opens what is older: as after a change of master keys.
    HOLDFAST_MASTER_KEY: [randomBytes(32), randomBytes(32)].map((key) => key.toString('base64')).join(','),
    HOLDFAST_WORKFLOW_BUNDLE: currentBundle(),
  };
  const settings = readSettings(env);
  const startTemporal = () =>
    run(
      paths.temporal,
      [
        'server',
        'start-dev',
        '--ip',
        '127.0.0.1',
        '--port',
        `${temporalPort}`,
        '--ui-port',
        `${uiPort}`,
        '--metrics-port',
        `${metricsPort}`,
        '--db-filename',
        join(folder, 'temporal.db'),
        '--log-level',
        'error',
      ],
      { log: join(folder, 'temporal.log') },
    );
  const answers = (port: number) => async () => {
    return new Promise<boolean>((resolve) => {
      const socket = new Socket().once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.connect(port, '127.0.0.1').unref();
      socket.once('connect', () => socket.destroy());
    });
  };
  let temporal = startTemporal();
  const s3 = run(paths.versitygw, ['--port', `127.0.0.1:${s3Port}`, 'posix', join(folder, 's3')], {
    env: { ROOT_ACCESS_KEY: env.HOLDFAST_S3_ACCESS_KEY_ID, ROOT_SECRET_KEY: env.HOLDFAST_S3_SECRET_ACCESS_KEY },
    log: join(folder, 's3.log'),
  });
  const endServers = async () => {
    await Promise.all([temporal.kill('SIGKILL'), s3.kill('SIGKILL')]);
    rmSync(folder, { recursive: true, force: true });
  };
  const connection = await startServers().catch(async (error: unknown) => {
    const log = readFileSync(join(folder, 'temporal.log'), 'utf8').slice(-2000);
    await endServers();
    throw new Error(`${String(error)}; Temporal's log ends with: ${log}`);
  });
  async function startServers(): Promise<Connection> {
    await until('Temporal listens', answers(temporalPort));
    await until('the object store listens', answers(s3Port));
    const made = await until('Temporal answers', () =>
      Connection.connect({ address: env.HOLDFAST_TEMPORAL_ADDRESS }).catch(() => undefined),
    );
    await until('the namespace is there', () => made.workflowService.describeNamespace({ namespace: 'default' }).catch(() => undefined));
    return made;
  }
  const client = new Client({ connection });
  const dependencies = createDependencies(settings, {});
  await dependencies.store.ensureBucket();
  const workers = new Set<Running>();
  const workerLog = join(folder, 'worker.log');

  const stack: Stack = {
    folder,
    env,
    settings,
    client,
    dependencies,
    startWorker({ entry = join(checkout, 'workers', 'main.ts'), env: extra = {} } = {}) {
      const worker = run(process.execPath, [...workerNodeFlags, entry], {
        env: { ...workerEnvironment, ...env, ...extra },
        log: workerLog,
      });
      workers.add(worker);
      worker.ended.then(
        () => workers.delete(worker),
        () => workers.delete(worker),
      );
      return worker;
    },
    workerLog: () => (existsSync(workerLog) ? readFileSync(workerLog, 'utf8') : ''),
    async restartTemporal() {
      await temporal.kill('SIGTERM');
      temporal = startTemporal();
      await until('Temporal answers again', () =>
        connection.workflowService.describeNamespace({ namespace: 'default' }).catch(() => undefined),
      );
    },
    async stop() {
      await Promise.all([...workers].map((worker) => worker.kill('SIGKILL')));
      await connection.close();
      await dependencies.close();
      await endServers();
    },
  };
  if (withWorker) stack.startWorker();
  return stack;
}
