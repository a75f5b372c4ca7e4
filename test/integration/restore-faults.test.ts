import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import { nodeName, objectKeys } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { piped } from '../cli/piped.ts';
import { clusterNames, holdings, sweep, testSpec } from '../support/clusters.ts';
import { startFaultyStore } from '../support/faulty-store.ts';
import { type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { ask, onNode, refusal } from './ask.ts';

let stack: Stack;
let worker: Running;
const { names, named } = clusterNames();
const plain = { tls: false };
const spec = testSpec(named(), {
  mode: 'sentinel',
  pitr: { enabled: true, rpoSeconds: 1 },
  security: { tls: false, users: [{ name: 'app' }] },
});
const cluster = spec.name;
const changes = { pitr: { enabled: false } };
const LARGE = 24 * 1024 ** 2;

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);
const windowOf = () => readRecoveryWindow(stack.dependencies.store, cluster);
const another = async (entry?: string, env: Record<string, string> = {}) => {
  await worker.kill('SIGTERM');
  worker = stack.startWorker({ env, ...(entry === undefined ? {} : { entry: join(checkout, 'test', 'support', entry) }) });
};
const HOUR_MS = 3_600_000;
const withClockOff = (ms: number, env: Record<string, string> = {}) =>
  another('wrong-clock-worker.ts', { TEST_CLOCK_OFF_MS: String(ms), ...env });
/** What is written from now on is archived, and nothing is said against the archive. */
const isArchived = () => {
  const now = Date.now();
  return until('it is archived by this worker', async () => {
    const { archive, findings } = await ask<StatusReport>(stack, 'status', { cluster });
    const [shard] = archive?.shards ?? [];
    const further = Date.parse(shard?.archivedTo ?? '') > now;
    return further && shard?.node !== undefined && (shard.lagMs ?? 0) < 5000 && findings.every(({ code }) => !code.startsWith('archive'));
  });
};
/** Switched off and on again it has another timeline, on which every moment from now on can be reached, and none that is to come. */
async function archiveAnew(): Promise<void> {
  const newest = async () => (await readArchive(stack.dependencies.store, cluster, 0)).at(-1);
  await run('configure', { spec: { ...spec, pitr: { ...spec.pitr, enabled: false } } });
  const before = await until('it has ended', async () => {
    const last = await newest();
    return last?.end !== undefined && last.begin.id;
  });
  await run('configure', { spec });
  const now = Date.now();
  await until('the newest timeline goes on', async () => {
    const last = await newest();
    const reach = Date.parse((await windowOf()).latest ?? '');
    return last !== undefined && last.begin.id > before && last.end === undefined && reach > now && reach < Date.now() + 1000;
  });
}
const NOTHING = { containers: [], volumes: [], networks: [] };
/** When the large key was there, and before it was dropped. */
let whole = 0;

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  worker = stack.startWorker();
  await run('provision', { spec });
  await until('the archive reaches something', async () => (await windowOf()).latest, 120_000);
  const reached = async (ms: number) => until('it is archived', async () => Date.parse((await windowOf()).latest ?? '') > ms, 120_000);
  await onNode(stack, cluster, nodeName(cluster, 0, 0), (redis) => redis.set('large', randomBytes(LARGE)), plain);
  whole = Date.now() + 500;
  await reached(whole + 500);
  await onNode(stack, cluster, nodeName(cluster, 0, 0), (redis) => redis.del('large'), plain);
  await reached(Date.now());
}, 300_000);
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

const at = (ms: number) => new Date(ms).toISOString();

test('on a disk that is full nothing is left, and what is to be done is said; with room the same restore works', {
  timeout: 300_000,
}, async () => {
  const into = named();
  await another('small-disk-worker.ts');
  const input = { cluster, at: at(whole), into, changes };
  const failure = await refusal(run('restore', input));
  expect(failure).toMatchObject({ type: 'HostFull', message: expect.stringContaining("the host's disk is full") });
  expect(await holdings(stack.dependencies.docker, into)).toEqual(NOTHING);
  expect(await stack.dependencies.store.list(objectKeys.clusterPrefix(into))).toEqual([]);
  // The restore that works is made where the clock is an hour slow: what is read goes by the clocks of the servers.
  await withClockOff(-HOUR_MS);
  await isArchived();
  const { restored } = await run('restore', input);
  expect(whole - Date.parse(restored?.shards[0]?.at ?? '')).toBeLessThan(1000);
  expect((await ask<StatusReport>(stack, 'status', { cluster: into })).verdict).toBe('healthy');
  expect(await onNode(stack, into, nodeName(into, 0, 0), (redis) => redis.strlen('large'), plain)).toBe(LARGE);
  await another();
});

test('a store that answers 500 and 503 to whoever reads, and a clock that is an hour fast, change nothing of what is brought back', {
  timeout: 300_000,
}, async () => {
  const into = named();
  const faulty = await startFaultyStore(stack.settings.HOLDFAST_S3_ENDPOINT);
  try {
    await withClockOff(HOUR_MS, { HOLDFAST_S3_ENDPOINT: faulty.endpoint });
    await isArchived();
    const answers = [500, undefined, 503, undefined, undefined];
    let reads = 0;
    faulty.spoil((method, url) => {
      const status = method === 'GET' && /\.sealed/.test(decodeURIComponent(url)) ? answers[reads++ % answers.length] : undefined;
      return status === undefined ? undefined : { status };
    });
    const { restored } = await run('restore', { cluster, at: at(whole), into, changes });
    expect(faulty.spoilt).toBeGreaterThan(1);
    expect(whole - Date.parse(restored?.shards[0]?.at ?? '')).toBeLessThan(1000);
    expect(await onNode(stack, into, nodeName(into, 0, 0), (redis) => redis.strlen('large'), plain)).toBe(LARGE);
    faulty.mend();
    await archiveAnew();
    await another();
    await isArchived();
    await archiveAnew();
  } finally {
    await another();
    faulty.close();
  }
});

test('a worker whose clock is a month fast takes nothing out of the archive', async () => {
  await withClockOff(30 * 24 * HOUR_MS);
  await isArchived();
  expect((await run('rotate', { cluster, dryRun: true })).plan.steps).toEqual([]);
  await another();
});

test('a moment that is no moment, or that nothing reaches, is refused with what to write, or with what can be reached', async () => {
  const into = named();
  const cli = (text: string) => piped(['restore', cluster, '--at', text, '--into', into, '--yes'], { env: stack.env });
  for (const text of ['14:03:26', 'yesterday', '2026-11-21', '2026-13-41T14:03:26Z'])
    expect(await cli(text), text).toMatchObject({ code: 2, stderr: expect.stringContaining('a moment with its time zone, such as') });
  for (const text of ['2026-11-21T14:03:26', '2026-11-21 14:03:26'])
    expect(await cli(text), text).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('It has no time zone: 2026-11-21T14:03:26Z is UTC'),
    });
  expect(await refusal(run('restore', { cluster, at: '2026-11-21', into }))).toMatchObject({ type: 'InvalidInput' });
  for (const ms of [whole - HOUR_MS, Date.now() + 600_000]) {
    const { message, type } = await refusal(run('restore', { cluster, at: at(ms), into }));
    expect(type).toBe('NotRestorable');
    expect(message).toMatch(/cannot be brought back to .*It can be brought back to\n {2}\d{4}-.*Z to \d{4}-.*Z/s);
  }
  // The same moment, as it is written elsewhere.
  const local = at(whole + 2 * HOUR_MS).replace('Z', '+02:00');
  const { plan } = await run('restore', { cluster, at: local, into, dryRun: true });
  expect(whole - Date.parse(plan.recovery?.[0]?.at ?? '')).toBeLessThan(1000);
  expect(await holdings(stack.dependencies.docker, into)).toEqual(NOTHING);
});
