import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Client, Connection } from '@temporalio/client';
import { createEngine, statusOf } from '../activities/docker/engine.ts';
import { idsOf, parseMasterKeys } from '../activities/secrets/master-keys.ts';
import { createObjectStore } from '../activities/storage/object-store.ts';
import { within } from '../activities/support/within.ts';
import { engineCatalogue } from '../config/engines.ts';
import { hostTaskQueue, searchAttributes, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import { livePollers } from '../config/pollers.ts';
import type { Settings } from '../config/settings.ts';

/** One thing that Holdfast depends on. */
export interface Check {
  readonly name: string;
  /** `warning`: Holdfast works, but less well. */
  readonly state: 'ok' | 'warning' | 'failed';
  /** What was found: an address, a version, or why not. */
  readonly found: string;
  /** What to do about it. */
  readonly next?: string;
}

/** A dependency that does not answer in this time counts as unreachable. */
const ANSWER_MS = 5_000;
const CONNECT_MS = 3_000;

const ok = (name: string, found: string): Check => ({ name, state: 'ok', found });
const failed = (name: string, found: string, next: string): Check => ({ name, state: 'failed', found, next });
const warning = (name: string, found: string, next: string): Check => ({ name, state: 'warning', found, next });

/** Asks every dependency, all at once. Changes nothing but a probe object, which it removes; a bucket is for the worker to make. Never throws. */
export async function checkUp(settings: Settings): Promise<readonly Check[]> {
  const clock = clockOff(settings);
  const all = [checkTemporal(settings, clock), checkStore(settings), checkClock(clock), checkMasterKey(settings), checkDocker(settings)];
  return (await Promise.all(all)).flat();
}

async function checkTemporal(settings: Settings, clock: Promise<number | undefined>): Promise<readonly Check[]> {
  const { HOLDFAST_TEMPORAL_ADDRESS: address, HOLDFAST_TEMPORAL_NAMESPACE: namespace } = settings;
  let connection: Connection;
  try {
    connection = await Connection.connect({ address, connectTimeout: CONNECT_MS });
  } catch (error) {
    return [
      failed(
        'temporal',
        `${address} does not answer (${reason(error)})`,
        'start it (npm run quickstart), or set HOLDFAST_TEMPORAL_ADDRESS',
      ),
    ];
  }
  try {
    const client = new Client({ connection, namespace });
    return await client.withDeadline(Date.now() + 2 * ANSWER_MS, async () => {
      const { serverVersion } = await connection.workflowService.getSystemInfo({});
      const server = ok('temporal', `${address}, version ${serverVersion}`);
      try {
        await connection.workflowService.describeNamespace({ namespace });
      } catch (error) {
        const next = `temporal operator namespace create --namespace ${namespace}, or set HOLDFAST_TEMPORAL_NAMESPACE`;
        return [server, failed('namespace', `there is no namespace "${namespace}" (${reason(error)})`, next)];
      }
      return [
        server,
        ok('namespace', namespace),
        await checkSearchAttributes(connection, namespace),
        ...(await checkWorkers(connection, settings, (await clock) ?? 0)),
      ];
    });
  } catch (error) {
    return [failed('temporal', `${address}: ${reason(error)}`, 'look at the log of the Temporal server')];
  } finally {
    await connection.close();
  }
}

async function checkSearchAttributes(connection: Connection, namespace: string): Promise<Check> {
  const name = 'search attributes';
  const next = `temporal operator search-attribute create --namespace ${namespace} ${Object.values(searchAttributes)
    .map((attribute) => `--name ${attribute} --type Keyword`)
    .join(' ')}`;
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = Object.values(searchAttributes).filter((attribute) => !(attribute in (customAttributes ?? {})));
    return missing.length === 0
      ? ok(name, Object.values(searchAttributes).join(', '))
      : warning(name, `not registered: ${missing.join(', ')}; the Temporal UI cannot filter by them`, next);
  } catch (error) {
    return warning(name, `cannot be read (${reason(error)})`, next);
  }
}

/** More than answers take; what goes by this clock is told in minutes. */
const CLOCK_OFF_MS = 30_000;

/** By how many ms the clock here is ahead of the object store's, which dates its answers; undefined when it does not. */
async function clockOff({ HOLDFAST_S3_ENDPOINT: endpoint }: Settings): Promise<number | undefined> {
  const answer = await fetch(endpoint, { method: 'HEAD', signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined);
  const theirs = Date.parse(answer?.headers.get('date') ?? '');
  return Number.isNaN(theirs) ? undefined : Date.now() - theirs;
}

async function checkClock(clock: Promise<number | undefined>): Promise<readonly Check[]> {
  const offMs = await clock;
  if (offMs === undefined) return [];
  const found = `${Math.round(Math.abs(offMs) / 1000)} s ${offMs < 0 ? 'behind' : 'ahead of'} the object store's`;
  if (Math.abs(offMs) < CLOCK_OFF_MS) return [ok('clock', found)];
  return [warning('clock', found, 'set the clock of one of the two (timedatectl set-ntp true): certificates are dated by it')];
}

const taskQueueTypes = { workflows: 1, activities: 2 } as const;

async function checkWorkers(
  connection: Connection,
  { HOLDFAST_TEMPORAL_NAMESPACE: namespace, HOLDFAST_HOST: host }: Settings,
  clockOffMs: number,
): Promise<readonly Check[]> {
  const queues = [
    { queue: WORKFLOW_TASK_QUEUE, kind: 'workflows' },
    { queue: WORKFLOW_TASK_QUEUE, kind: 'activities' },
    { queue: hostTaskQueue(host), kind: 'activities' },
  ] as const;
  return Promise.all(
    queues.map(async ({ queue, kind }) => {
      const name = `worker ${queue}`;
      const answer = await connection.workflowService.describeTaskQueue({
        namespace,
        taskQueue: { name: queue },
        taskQueueType: taskQueueTypes[kind],
      });
      const workers = new Set(livePollers(answer.pollers, Date.now() - clockOffMs).map((poller) => poller.identity));
      if (workers.size > 0) return ok(name, `${kind}: ${[...workers].join(', ')}`);
      return failed(name, `${kind}: no worker polls the task queue`, 'start one: holdfast worker');
    }),
  );
}

async function checkStore(settings: Settings): Promise<readonly Check[]> {
  const { HOLDFAST_S3_ENDPOINT: endpoint, HOLDFAST_S3_BUCKET: bucket } = settings;
  const name = 'object store';
  const store = createObjectStore(settings);
  const key = `probe/${randomUUID()}`;
  try {
    await within(ANSWER_MS * 2, store.put(key, key));
    const read = await within(ANSWER_MS, store.get(key));
    await within(ANSWER_MS, store.remove(key));
    const same = read !== undefined && Buffer.from(read).toString() === key;
    return [
      same
        ? ok(name, `${endpoint}, bucket ${bucket}, written and read back`)
        : failed(name, `${endpoint} gave back other bytes than it got`, 'look at the object store'),
    ];
  } catch (error) {
    if (error instanceof Error && error.name === 'NoSuchBucket')
      return [warning(name, `${endpoint} has no bucket ${bucket} yet`, 'a worker makes it when it starts: holdfast worker')];
    const next = 'start it (npm run quickstart), or set HOLDFAST_S3_ENDPOINT, HOLDFAST_S3_ACCESS_KEY_ID and HOLDFAST_S3_SECRET_ACCESS_KEY';
    return [failed(name, `${endpoint}, bucket ${bucket}: ${reason(error)}`, next)];
  } finally {
    store.close();
  }
}

async function checkMasterKey({ HOLDFAST_MASTER_KEY: key, HOLDFAST_MASTER_KEY_FILE: file }: Settings): Promise<readonly Check[]> {
  const name = 'master key';
  const next = 'make one (openssl rand -base64 32 > master.key), and set HOLDFAST_MASTER_KEY_FILE to it';
  if (key === undefined && file === undefined) return [failed(name, 'none is set', next)];
  try {
    const { current, others } = idsOf(parseMasterKeys(key ?? (await readFile(file ?? '', 'utf8'))));
    const also = others.length === 0 ? '' : `; also opens with ${others.join(' and ')}`;
    return [ok(name, `${current}, ${key === undefined ? `in ${file}` : 'from HOLDFAST_MASTER_KEY'}${also}`)];
  } catch (error) {
    return [failed(name, `${key === undefined ? file : 'HOLDFAST_MASTER_KEY'}: ${reason(error)}`, next)];
  }
}

async function checkDocker(settings: Settings): Promise<readonly Check[]> {
  const { HOLDFAST_DOCKER_HOST: host } = settings;
  try {
    const docker = createEngine(settings);
    const version = await within(ANSWER_MS, docker.version());
    const engine = ok('docker', `${host}, version ${version.Version}, API ${version.ApiVersion}`);
    const images = await Promise.all(
      engineCatalogue.map(async ({ image }) => ({
        image,
        there: await docker
          .getImage(image)
          .inspect()
          .then(
            () => true,
            (error: unknown) => {
              if (statusOf(error) === 404) return false;
              throw error;
            },
          ),
      })),
    );
    const missing = images.filter(({ there }) => !there).map(({ image }) => image);
    const next = `they are pulled when they are needed; or beforehand: ${missing.map((image) => `docker pull ${image}`).join('; ')}`;
    return [
      engine,
      missing.length === 0
        ? ok('images', images.map(({ image }) => image).join(', '))
        : warning('images', `not on the host: ${missing.join(', ')}`, next),
    ];
  } catch (error) {
    return [
      failed(
        'docker',
        `${host} does not answer (${reason(error)})`,
        'start Docker, or set HOLDFAST_DOCKER_HOST; as a normal user: is the user in the group docker?',
      ),
    ];
  }
}

/** The innermost message: what wraps it only says that a call failed. */
function reason(error: unknown): string {
  let e = error;
  while (e instanceof Error && e.cause instanceof Error) e = e.cause;
  if (e instanceof AggregateError && e.errors.length > 0) return reason(e.errors[0]);
  const message = e instanceof Error ? e.message : String(e);
  return message.split('\n', 1)[0] ?? message;
}
