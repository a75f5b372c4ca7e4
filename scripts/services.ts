import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { searchAttributes, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import { workerEnvironment, workerNodeFlags } from '../workers/process.ts';
import { checkout, paths } from './setup/home.ts';
import { freePort } from './setup/ports.ts';
import { logFile, logTail, running, startDetached, stopRunning } from './setup/process-record.ts';
import { CannotGoOn } from './setup/run.ts';
import { readSettingsFile, writeSettingsFile } from './setup/settings-file.ts';

/** The quickstart's own services, in the order in which they start. */
export const serviceNames = ['temporal', 'objects', 'worker'] as const;
export type ServiceName = (typeof serviceNames)[number];

const START_TIMEOUT_MS = 45_000;

/** Waits until `ready` says so; a service that ends meanwhile, or takes too long, fails with the last lines of its log. */
async function waitFor(name: ServiceName, ready: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + START_TIMEOUT_MS;
  while (!(await ready().catch(() => false))) {
    const ended = (await running(name)) === undefined;
    if (ended || Date.now() > until) {
      const what = ended ? 'ended at once' : `does not answer after ${START_TIMEOUT_MS / 1000} s`;
      throw new CannotGoOn(`${name} was started and ${what}. The end of ${logFile(name)}:\n${logTail(name)}`);
    }
    await delay(100); // between two questions
  }
}

async function temporalAnswers(address: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: 1_000 });
  try {
    await connection.withDeadline(Date.now() + 2_000, () => connection.workflowService.describeNamespace({ namespace: 'default' }));
    return true;
  } finally {
    await connection.close();
  }
}

/** Temporal's dev server, its database on disk so that operations survive a restart. */
export async function startTemporal(): Promise<string> {
  if (process.env.HOLDFAST_TEMPORAL_ADDRESS) return `HOLDFAST_TEMPORAL_ADDRESS is set: ${process.env.HOLDFAST_TEMPORAL_ADDRESS} is used`;
  const known = readSettingsFile();
  if (await running('temporal')) return `already runs at ${known.HOLDFAST_TEMPORAL_ADDRESS}`;
  const port = await freePort(portOf(known.HOLDFAST_TEMPORAL_ADDRESS) ?? 7233, 7233);
  const uiPort = await freePort(portOf(known.HOLDFAST_TEMPORAL_UI) ?? 8233, 8233);
  const address = `127.0.0.1:${port}`;
  const attributes = Object.values(searchAttributes).flatMap((name) => ['--search-attribute', `${name}=Keyword`]);
  const database = join(paths.data, 'temporal.db');
  const ports = ['--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort)];
  await startDetached({
    name: 'temporal',
    command: paths.temporal,
    args: ['server', 'start-dev', '--db-filename', database, ...ports, ...attributes, '--log-level', 'warn'],
  });
  writeSettingsFile({ HOLDFAST_TEMPORAL_ADDRESS: address, HOLDFAST_TEMPORAL_UI: `http://127.0.0.1:${uiPort}` });
  await waitFor('temporal', () => temporalAnswers(address));
  return `started at ${address}, UI at http://127.0.0.1:${uiPort}${port === 7233 && uiPort === 8233 ? '' : ' (a usual port is taken)'}`;
}

/** versitygw on a folder of the home: the object store for who has none yet. */
export async function startObjectStore(): Promise<string> {
  if (process.env.HOLDFAST_S3_ENDPOINT) return `HOLDFAST_S3_ENDPOINT is set: ${process.env.HOLDFAST_S3_ENDPOINT} is used`;
  const known = readSettingsFile();
  if (await running('objects')) return `already runs at ${known.HOLDFAST_S3_ENDPOINT}`;
  const port = await freePort(portOf(known.HOLDFAST_S3_ENDPOINT) ?? 7070, 7070);
  const endpoint = `http://127.0.0.1:${port}`;
  const folder = join(paths.data, 's3');
  mkdirSync(folder, { recursive: true });
  await startDetached({
    name: 'objects',
    command: paths.versitygw,
    args: ['--port', `127.0.0.1:${port}`, 'posix', folder],
    // Not as arguments, which every user of the machine can read.
    env: { ROOT_ACCESS_KEY: known.HOLDFAST_S3_ACCESS_KEY_ID ?? '', ROOT_SECRET_KEY: known.HOLDFAST_S3_SECRET_ACCESS_KEY ?? '' },
  });
  writeSettingsFile({ HOLDFAST_S3_ENDPOINT: endpoint });
  await waitFor('objects', async () => (await fetch(endpoint, { signal: AbortSignal.timeout(1_000) })).status > 0);
  return `started at ${endpoint}${port === 7070 ? '' : ' (port 7070 is taken)'}`;
}

/** One worker. It is started anew when its settings or its code changed: running operations just go on in the new one. */
export async function startWorker(): Promise<string> {
  const fingerprint = workerFingerprint();
  const before = await running('worker');
  if (before?.fingerprint === fingerprint) return `already runs as process ${before.pid}`;
  await stopRunning('worker');
  await startDetached({
    name: 'worker',
    command: process.execPath,
    args: [...workerNodeFlags, 'workers/main.ts'],
    cwd: checkout,
    env: { ...workerEnvironment, ...workerSettings() },
    fingerprint,
  });
  await waitFor('worker', workerPolls);
  const pid = (await running('worker'))?.pid;
  return before === undefined ? `started as process ${pid}` : `started anew as process ${pid}: its code or settings changed`;
}

/** Whether a worker has asked for work since this one was started: the server keeps older pollers for minutes, so the pid tells. */
async function workerPolls(): Promise<boolean> {
  const pid = (await running('worker'))?.pid;
  const settings = workerSettings();
  const connection = await Connection.connect({ address: settings.HOLDFAST_TEMPORAL_ADDRESS ?? '127.0.0.1:7233', connectTimeout: 1_000 });
  try {
    const namespace = settings.HOLDFAST_TEMPORAL_NAMESPACE ?? 'default';
    const request = { namespace, taskQueue: { name: WORKFLOW_TASK_QUEUE }, taskQueueType: 1 } as const;
    const { pollers } = await connection.withDeadline(Date.now() + 2_000, () => connection.workflowService.describeTaskQueue(request));
    return (pollers ?? []).some((poller) => poller.identity?.includes(String(pid)));
  } finally {
    await connection.close();
  }
}

/** What the worker is told: settings.env, and over it the environment. */
function workerSettings(): Record<string, string> {
  const fromEnvironment = Object.entries(process.env).flatMap(([name, value]) =>
    name.startsWith('HOLDFAST_') && value ? [[name, value]] : [],
  );
  return { ...readSettingsFile(), ...Object.fromEntries(fromEnvironment) };
}

/** Changes when a source that the worker runs, or a setting, does. */
function workerFingerprint(): string {
  const hash = createHash('sha256').update(JSON.stringify(workerSettings()));
  for (const folder of ['config', 'model', 'workflows', 'activities', 'workers']) {
    for (const name of readdirSync(join(checkout, folder), { recursive: true, encoding: 'utf8' }).sort()) {
      const file = join(checkout, folder, name);
      if (name.endsWith('.ts') && statSync(file).isFile()) hash.update(name).update(readFileSync(file));
    }
  }
  return hash.digest('hex');
}

const portOf = (address: string | undefined): number | undefined => {
  const port = Number(address?.match(/:(\d+)\/?$/)?.[1]);
  return Number.isInteger(port) && port > 0 ? port : undefined;
};
