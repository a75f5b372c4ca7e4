import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openStream } from '../../activities/backup/open.ts';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { backupKeys, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { exitCodes } from '../../starter/cli/exit-codes.ts';
import { createDependencies } from '../../workers/dependencies.ts';
import { piped } from '../cli/piped.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type FaultyStore, isPart, startFaultyStore } from '../support/faulty-store.ts';
import { manifestOf } from '../support/manifests.ts';
import { type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, refusal } from './ask.ts';
import { nothingLeft } from './backup-remains.ts';

/** One primary with two replicas, and a store that fails on demand in front of the real one. */
const all = process.env.TEST_ALL === 'true';
const cluster = uniqueName();
const HOUR_MS = 3_600_000;
const KEYS = 360;
const KEY_BYTES = 100_000; // random, so that they do not shrink: five parts of a backup, two of an import
let stack: Stack;
let faulty: FaultyStore;
let worker: Running;

const startWorker = ({ entry, env }: { readonly entry?: string; readonly env?: Record<string, string> } = {}) =>
  stack.startWorker({ env: { HOLDFAST_S3_ENDPOINT: faulty.endpoint, ...env }, ...(entry === undefined ? {} : { entry }) });

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  faulty = await startFaultyStore(stack.settings.HOLDFAST_S3_ENDPOINT);
  worker = startWorker();
  const spec = testSpec(cluster, { mode: 'sentinel', replicasPerShard: 2, resources: { memory: '256Mi' } });
  await ask(stack, 'provision', { spec });
  await asApplication(
    stack,
    cluster,
    async (app) => {
      for (let at = 0; at < KEYS; at += 40)
        await Promise.all(Array.from({ length: 40 }, (_, i) => app.set(`large:${at + i}`, randomBytes(KEY_BYTES))));
    },
    { mode: 'sentinel' },
  );
});
afterAll(async () => {
  if (stack !== undefined) await sweep(stack.dependencies.docker, cluster);
  faulty?.close();
  await stack?.stop();
});
afterEach(() => faulty.mend());

const list = () => ask<readonly BackupSummary[]>(stack, 'listBackups', { cluster });
const start = (more: object = {}): Promise<WorkflowHandle> =>
  stack.client.workflow.start('backup', {
    taskQueue: WORKFLOW_TASK_QUEUE,
    workflowId: uniqueName('backup-'),
    args: [{ cluster, ...more }],
  });
const verify = (more: object = {}) => ask<OperationResult>(stack, 'verifyBackup', { cluster, backup: 'latest', ...more });
const newest = () => ask<BackupManifest>(stack, 'showBackup', { cluster, backup: 'latest' });
const spoilt = (times: number) => until(`${times} requests were spoilt`, async () => faulty.spoilt >= times, 60_000);
/** It ended well, and its one shard has every key. */
async function isWhole(handle: WorkflowHandle, how: 'loaded' | 'opened'): Promise<BackupManifest> {
  expect(await handle.result()).toMatchObject({ outcome: 'done', backup: { keys: KEYS, how } });
  await nothingLeft(stack, cluster);
  return newest();
}

describe('a backup', () => {
  test('is whole when the store answers 500 and 503 in the middle of it', async () => {
    let parts = 0;
    const answers = [500, 503, undefined];
    faulty.spoil((method, url) => {
      const status = isPart(method, url) ? answers[parts++ % answers.length] : undefined;
      return status === undefined ? undefined : { status };
    });
    await isWhole(await start(), 'loaded');
    expect(faulty.spoilt).toBeGreaterThan(4);
  });

  test('is never half visible while the store refuses, and leaves nothing when it is cancelled then', async () => {
    const before = await list();
    faulty.spoil((method, url) => (isPart(method, url) ? { status: 503 } : undefined));
    const handle = await start();
    await spoilt(4);
    expect(await list()).toEqual(before);
    await handle.cancel();
    const why = await refusal(handle.result());
    expect([(await handle.describe()).status.name, why]).toMatchObject(['CANCELLED', {}]);
    expect(await list()).toEqual(before);
    await nothingLeft(stack, cluster);
  });

  test.each(all ? ['for a moment', 'for longer than it is waited for'] : ['for a moment'])(
    'is whole when the store falls silent %s',
    async (how) => {
      let silences = 0;
      faulty.spoil((method, url) => (isPart(method, url) && silences++ < 2 ? 'silence' : undefined));
      const handle = await start({ verify: 'checksum' });
      await spoilt(2);
      if (how === 'for a moment') faulty.mend();
      await isWhole(handle, 'opened');
    },
  );

  test('is read from another replica when the one that it is read from dies in the middle', async () => {
    const { docker } = stack.dependencies;
    const chosen = (await newest()).shards[0]?.node ?? '';
    faulty.spoil((method, url) => (isPart(method, url) ? 'silence' : undefined));
    const handle = await start({ verify: 'checksum' });
    await spoilt(1); // its data flows, and no further than this
    await docker.getContainer(chosen).kill({ signal: 'SIGKILL' });
    faulty.mend();
    try {
      const { shards } = await isWhole(handle, 'opened');
      expect(shards[0]?.node).not.toBe(chosen);
    } finally {
      await docker.getContainer(chosen).start();
    }
  });

  test('is read from another replica when the one that it would be read from cannot fork', async () => {
    const { docker } = stack.dependencies;
    await until(
      'both replicas follow',
      async () => (await ask<{ readonly verdict: string }>(stack, 'status', { cluster })).verdict === 'healthy',
    );
    const planned = await ask<OperationResult>(stack, 'backup', { cluster, dryRun: true });
    const chosen = /the data of (\S+),/.exec(planned.plan.steps[0]?.change ?? '')?.[1] ?? '';
    const container = docker.getContainer(chosen);
    const limit = (await container.inspect()).HostConfig.PidsLimit;
    const { pids_stats: threads = {} } = await container.stats({ stream: false });
    await container.update({ PidsLimit: threads.current ?? 1 });
    try {
      const { shards } = await isWhole(await start({ verify: 'checksum' }), 'opened');
      expect(shards[0]?.node).not.toBe(chosen);
      expect((await container.logs({ stdout: true, stderr: true, tail: 200 })).toString()).toMatch(/BGSAVE for replication failed/);
    } finally {
      await container.update({ PidsLimit: limit ?? -1 });
    }
  });

  test.each([
    ['slow', -HOUR_MS],
    ['fast', HOUR_MS],
  ])('is whole, and verified, and a rotation keeps what it should, when the clock of the worker is an hour %s', async (_, offMs) => {
    const change = async (next: Parameters<typeof startWorker>[0]) => {
      await worker.kill('SIGKILL');
      worker = startWorker(next);
    };
    const wrong = {
      entry: join(checkout, 'test', 'support', 'wrong-clock-worker.ts'),
      env: { TEST_CLOCK_OFF_MS: String(offMs) },
    };
    await change(wrong);
    try {
      const { id, spec, clusterId } = await isWhole(await start(), 'loaded');
      const { store } = stack.dependencies;
      for (let age = 1; age <= 20; age++) {
        const older = manifestOf(Date.now() - age * 11 * HOUR_MS, { cluster, clusterId, spec: clusterSpec.parse(spec) });
        for (const { key } of older.shards) await store.put(key, 'sealed');
        await store.put(backupKeys.manifest(cluster, older.id), JSON.stringify(older));
      }
      await change({});
      const { plan } = await ask<OperationResult>(stack, 'rotate', { cluster, dryRun: true });
      const stay = plan.backups?.flatMap((one) => (one.stays ? [one.id] : [])) ?? [];
      expect(stay).toContain(id);
      expect(stay.length).toBeLessThan(plan.backups?.length ?? 0);
      await change(wrong);
      expect(await ask(stack, 'rotate', { cluster })).toMatchObject({ outcome: 'done' });
      expect((await list()).map((one) => one.id).sort()).toEqual(stay.toSorted());
    } finally {
      await change({});
    }
  });
});

describe('a stored backup', () => {
  /** The shard's object as it lies on the store's disk. */
  const fileOf = async () => {
    const { key } = (await newest()).shards[0] ?? { key: '' };
    const [path = ''] = globSync(join(stack.folder, 's3', '*', key));
    return { key, path, bytes: readFileSync(path) };
  };

  test('that is altered or cut short anywhere is refused, with the frame', async () => {
    const { key, path, bytes } = await fileOf();
    const { settings, store } = stack.dependencies;
    const ring = await createDependencies(settings, {}).secrets.keyRing(cluster);
    const outcome = async () => {
      try {
        for await (const part of openStream(store.getStream(key), { name: key, kekById: ring.byId }).bytes) void part;
        return 'opened';
      } catch (error) {
        return String(error);
      }
    };
    const borders = framesOf(bytes);
    const frameAt = (at: number) => borders.findLastIndex((border) => border <= at);
    try {
      for (let i = 0; i < (all ? 200 : 10); i++) {
        const at = Math.floor(Math.random() * bytes.length);
        const altered = i % 2 === 0 ? flipped(bytes, at) : bytes.subarray(0, at);
        writeFileSync(path, altered);
        const frame = frameAt(at);
        expect(await outcome(), `${i % 2 === 0 ? 'altered' : 'cut'} at ${at}`).toMatch(
          frame < 0 ? /header|no sealed object/ : new RegExp(`frame ${frame}\\b`),
        );
      }
    } finally {
      writeFileSync(path, bytes);
    }
    expect(await outcome()).toBe('opened');
  });

  test('is shown as damaged when a byte of it was altered, and as verified again when an intact copy was put back', async () => {
    const { path, bytes } = await fileOf();
    expect(await verify()).toMatchObject({ outcome: 'done', backup: { verified: true, how: 'loaded' } });
    writeFileSync(path, flipped(bytes, bytes.length >> 1));
    expect(await refusal(verify())).toMatchObject({
      type: 'ObjectDamaged',
      message: expect.stringMatching(/frame \d+ does not open.*as damaged/s),
    });
    expect((await list())[0]).toMatchObject({ damaged: { type: 'ObjectDamaged' } });
    expect((await list())[0]?.proof).toBeUndefined();
    const shown = await piped(['backup', 'list', cluster], { env: stack.env });
    expect(shown.stdout).toMatch(/ damaged /);
    await nothingLeft(stack, cluster);
    writeFileSync(path, bytes);
    const again = await piped(['backup', 'verify', cluster, 'latest', '--verify', 'checksum'], { env: stack.env });
    expect(again).toMatchObject({ code: exitCodes.ok, stdout: expect.stringContaining('every byte is as it was stored') });
    expect((await list())[0]).toMatchObject({ proof: { how: 'loaded' } });
    await nothingLeft(stack, cluster);
  });

  test('is exported, imported into another installation with another master key, and loaded there without its cluster', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-carried-'));
    const other = await startStack();
    try {
      const { id } = await newest();
      const out = await piped(['backup', 'export', cluster, 'latest', folder], { env: stack.env });
      expect(out).toMatchObject({ code: exitCodes.ok, stdout: expect.stringContaining(id) });
      writeFileSync(join(folder, 'their.key'), stack.settings.HOLDFAST_MASTER_KEY ?? '');
      const refused = await piped(['backup', 'import', folder], { env: other.env });
      expect(refused).toMatchObject({ code: exitCodes.usage, stderr: expect.stringContaining('--sealed-under') });
      await breakOffImport(other, folder);
      const taken = await piped(['backup', 'import', folder, '--sealed-under', join(folder, 'their.key')], { env: other.env });
      expect(taken).toMatchObject({ code: exitCodes.ok, stdout: expect.stringContaining(`holdfast backup verify ${cluster} ${id}`) });
      expect(await ask<OperationResult>(other, 'verifyBackup', { cluster, backup: id })).toMatchObject({
        backup: { keys: KEYS, verified: true },
      });
      await nothingLeft(other, cluster);
    } finally {
      await other.stop();
      rmSync(folder, { recursive: true });
    }
  });
});

/** Ctrl-C while the first part is on its way: nothing of it is to be seen. */
async function breakOffImport(other: Stack, folder: string): Promise<void> {
  const slow = await startFaultyStore(other.settings.HOLDFAST_S3_ENDPOINT);
  slow.spoil((method, url) => (isPart(method, url) ? 'silence' : undefined));
  const importing = spawn(
    process.execPath,
    ['starter/holdfast.js', 'backup', 'import', folder, '--sealed-under', join(folder, 'their.key')],
    {
      cwd: checkout,
      env: { ...process.env, ...other.env, HOLDFAST_S3_ENDPOINT: slow.endpoint },
      stdio: 'ignore',
    },
  );
  try {
    await until('a part is on its way', async () => slow.spoilt > 0);
    importing.kill('SIGINT');
    expect(await new Promise((resolve) => importing.once('close', resolve))).toBe(exitCodes.interrupted);
    expect(await other.dependencies.store.listUploads(backupKeys.backups(cluster))).toEqual([]);
    expect(await ask(other, 'listBackups', { cluster })).toEqual([]);
  } finally {
    importing.kill('SIGKILL');
    slow.close();
  }
}

function flipped(bytes: Buffer, at: number): Buffer {
  const altered = Buffer.from(bytes);
  altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
  return altered;
}

/** Where each frame begins. */
function framesOf(bytes: Buffer): readonly number[] {
  const borders: number[] = [];
  for (let at = bytes.indexOf(10) + 1; at < bytes.length; at += 5 + bytes.readUInt32BE(at + 1) + 16) borders.push(at);
  return borders;
}
