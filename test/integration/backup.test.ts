import { randomBytes } from 'node:crypto';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asFollower, asOperator, withNode } from '../../activities/redis/connection.ts';
import { handshake } from '../../activities/replication/handshake.ts';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { backupKeys, nodePaths, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { type OperationResult, operationHandlers, type Progress } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { exitCodes } from '../../starter/cli/exit-codes.ts';
import { piped } from '../cli/piped.ts';
import { folderByHand } from '../support/by-hand.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { load } from '../support/lone-shard.ts';
import { type Line, startLine } from '../support/object-server.ts';
import { freePort, type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { LIBRARY, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask, onNode, refusal } from './ask.ts';
import { nothingLeft } from './backup-remains.ts';
import { rdbOf } from './node-data.ts';

let stack: Stack;
let line: Line;
let closeLine: () => void;
let worker: Running;
const specs = {
  redis: testSpec(uniqueName(), { engine: 'redis', version: '7.0' }),
  valkey: testSpec(uniqueName(), { engine: 'valkey', version: '9.1' }),
  sentinel: testSpec(uniqueName(), {
    engine: 'valkey',
    version: '8.1',
    mode: 'sentinel',
    security: { tls: false, users: [{ name: 'app' }] },
  }),
};
const names = Object.values(specs).map(({ name }) => name);

const startWorker = (endpoint: string) => stack.startWorker({ env: { HOLDFAST_S3_ENDPOINT: endpoint } });
let endpoint = '';
beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  const port = await freePort();
  const started = await startLine(port, Number(new URL(stack.settings.HOLDFAST_S3_ENDPOINT).port));
  line = started.line;
  closeLine = started.close;
  endpoint = `http://127.0.0.1:${port}`;
  worker = startWorker(endpoint);
  await Promise.all(Object.values(specs).map((spec) => ask(stack, 'provision', { spec })));
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  closeLine?.();
  await stack?.stop();
});

const backUp = (cluster: string, more: object = {}) => ask<OperationResult>(stack, 'backup', { cluster, ...more });
const list = (cluster: string) => ask<readonly BackupSummary[]>(stack, 'listBackups', { cluster });
const show = (cluster: string, backup: string) => ask<BackupManifest>(stack, 'showBackup', { cluster, backup });
const start = (cluster: string, more: object = {}) =>
  stack.client.workflow.start('backup', {
    taskQueue: WORKFLOW_TASK_QUEUE,
    workflowId: `backup-${uniqueName()}`,
    args: [{ cluster, ...more }],
  });
const idOf = ({ backup }: OperationResult): string => backup?.id ?? '';

/** Opens an object of the bucket by the script of the documentation, with the master key and copies of two files. */
async function openByHand(cluster: string, key: string): Promise<Buffer> {
  const { store } = stack.dependencies;
  const keyFile = (await store.list(backupKeys.keyCopies(cluster)))[0] ?? '';
  using folder = await folderByHand(store, [key, keyFile], stack.settings.HOLDFAST_MASTER_KEY ?? '');
  return folder.run(process.execPath, 'open-sealed.mjs', 'master.key', keyFile, key);
}

/** Writes, deletes, and keys that end at once, until it is told to stop. */
function keepWriting(cluster: string): { stop(): Promise<number> } {
  let stopped = false;
  let writes = 0;
  const running = asApplication(stack, cluster, async (app) => {
    while (!stopped) {
      await Promise.all(
        Array.from({ length: 100 }, (_, i) => [
          app.set(`busy:${writes + i}`, 'x'.repeat(100)),
          app.set(`brief:${i}`, 'x', 'PX', 200 + i),
          app.del(`busy:${writes + i - 5000}`),
        ]).flat(),
      );
      writes += 100;
    }
  });
  return {
    async stop() {
      stopped = true;
      await running;
      return writes;
    },
  };
}

describe.each(['redis', 'valkey'] as const)('a cluster of %s', (engine) => {
  const spec = specs[engine];
  const cluster = spec.name;

  beforeAll(async () => {
    await asApplication(stack, cluster, writeStaticData);
    for (const shard of [0, 1, 2])
      await onNode(stack, cluster, `${cluster}-${shard}-0`, async (redis) => {
        await redis.call('FUNCTION', 'LOAD', LIBRARY);
      });
    if (engine === 'valkey')
      await asApplication(stack, cluster, async (app) => {
        await app.hset('fields', 'one', 1, 'two', 2);
        await app.call('HPEXPIRE', 'fields', 3_600_000, 'FIELDS', 1, 'one');
      });
  });

  test('is backed up while it is written to, and every shard loads to the keys that it had at that point', async () => {
    const writing = keepWriting(cluster); // some of its keys have expired by the time that they are loaded
    await sleep(300);
    const result = await backUp(cluster, { label: 'busy', shardsAtOnce: 3 });
    expect(await writing.stop()).toBeGreaterThan(500);
    expect(result).toMatchObject({ outcome: 'done', backup: { shards: 3, verified: true, how: 'loaded' } });
    const manifest = await show(cluster, idOf(result));
    expect(manifest.verified?.shards).toEqual(manifest.shards.map(({ shard, keys, functions }) => ({ shard, keys, functions })));
    expect(manifest.shards.map(({ functions }) => functions)).toEqual([1, 1, 1]);
    expect(manifest.shards.every(({ node, keys }) => node.endsWith('-1') && keys > 600)).toBe(true);
    expect(manifest.verified?.server?.version).toMatch(new RegExp(`^${spec.version}\\.`));
    expect(await list(cluster)).toMatchObject([{ label: 'busy', proof: { how: 'loaded' } }]);
    await nothingLeft(stack, cluster);
    const secret = (await stack.dependencies.secrets.require(cluster)).system.operator;
    expect(JSON.stringify([result, manifest]) + stack.workerLog()).not.toContain(secret);
  });

  test('is in the bucket what it was: opened by hand and loaded, its digest is the source’s', async () => {
    await sleep(1000); // brief keys end
    const { shards, acl } = await show(cluster, idOf(await backUp(cluster)));
    for (const { key, node, keys } of shards.slice(0, 2)) {
      const [opened, source] = [await openByHand(cluster, key), await rdbOf(stack, cluster, node)];
      const loaded = (content: Buffer) =>
        load(stack.dependencies.docker, clusterSpec.parse(spec), [{ path: `${nodePaths.db}/dump.rdb`, content }]);
      const [ours, theirs] = [await loaded(opened), await loaded(source)];
      expect(ours).toEqual(theirs);
      expect(ours.keys).toBe(keys);
      expect(ours.digest).toMatch(/^[0-9a-f]{40}$/);
      expect(ours.digest).not.toMatch(/^0+$/);
    }
    const users = (await openByHand(cluster, acl?.key ?? '')).toString();
    expect(users).toMatch(/^user app on .*#[0-9a-f]{64}/m);
  });
});

describe('a backup', () => {
  const cluster = specs.valkey.name;

  test('whose object is altered by a byte fails its verification, and is not shown as verified', async () => {
    // Held before its first step, let go, and held again: the first shard is stored, and the rest waits.
    const handle = await start(cluster, { shardsAtOnce: 1, approval: {} });
    const progress = (so: (now: Progress) => boolean) => () => handle.query<Progress>(operationHandlers.progress).then(so, () => false);
    await until(
      'it waits for approval',
      progress(({ stage }) => stage === 'approval'),
    );
    await handle.executeUpdate(operationHandlers.pause);
    await handle.executeUpdate(operationHandlers.approve, { args: [{ by: 'a test' }] });
    await until(
      'it stands',
      progress(({ stage }) => stage === 'act'),
    );
    await handle.executeUpdate(operationHandlers.resume);
    await handle.executeUpdate(operationHandlers.pause);
    await until(
      'a shard is stored',
      progress(({ steps }) => steps[0]?.state === 'done'),
    );
    const [newest = ''] = globSync(join(stack.folder, 's3', '**', 'shard-0.*.sealed'))
      .filter((path) => path.includes(cluster))
      .toSorted()
      .toReversed();
    const bytes = readFileSync(newest);
    const at = bytes.length - 100;
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(newest, bytes);
    await handle.executeUpdate(operationHandlers.resume);
    const { type, message } = await refusal(handle.result());
    expect(type).toBe('ObjectDamaged');
    expect(message).toMatch(/frame 0 does not open.*stays, and is not shown as verified/s);
    const [found] = await list(cluster);
    expect(found?.proof).toBeUndefined();
    await nothingLeft(stack, cluster);
  });

  test('goes on when the store was away in the middle, and when the worker died in the middle', async () => {
    await asApplication(stack, cluster, async (app) => {
      for (let at = 0; at < 600; at += 50)
        await Promise.all(Array.from({ length: 50 }, (_, i) => app.set(`large:${at + i}`, randomBytes(100_000))));
    });
    const uploading = async () => {
      const end = Date.now() + 30_000;
      while ((await stack.dependencies.store.listUploads(backupKeys.backups(cluster))).length === 0)
        if (Date.now() > end) throw new Error('nothing is stored in parts');
    };
    const first = await start(cluster);
    await uploading();
    line.pause();
    line.cut();
    await sleep(3000);
    line.resume();
    expect(await first.result()).toMatchObject({ outcome: 'done', backup: { verified: true } });
    await nothingLeft(stack, cluster);

    const second = await start(cluster, { verify: 'checksum' });
    await uploading();
    await worker.kill('SIGKILL');
    worker = startWorker(endpoint);
    expect(await second.result()).toMatchObject({ outcome: 'done', backup: { verified: false, how: 'opened' } });
    await nothingLeft(stack, cluster);
  });
});

test('in sentinel mode there is one shard, read from the replica, with the keys of all its databases', async () => {
  const cluster = specs.sentinel.name;
  await asApplication(
    stack,
    cluster,
    async (app) => {
      for (let i = 0; i < 500; i++) await app.set(`key:${i}`, i);
    },
    { mode: 'sentinel', tls: false },
  );
  await onNode(stack, cluster, `${cluster}-0-0`, (redis) => redis.multi().select(3).set('other', 'database').exec(), { tls: false });
  const result = await backUp(cluster);
  expect(result).toMatchObject({ outcome: 'done', backup: { shards: 1, keys: 500, verified: true } });
  const { shards, verified } = await show(cluster, idOf(result));
  expect(shards).toMatchObject([{ slots: '', node: `${cluster}-0-1`, database: 0, keys: 500 }]);
  expect(verified?.shards).toEqual([{ shard: 0, keys: 501, functions: 0 }]);
  await nothingLeft(stack, cluster);
});

test('what follows the primary of a sentinel cluster, as a backup of it does, is no replica for status', async () => {
  const cluster = specs.sentinel.name;
  const look = () => ask<StatusReport>(stack, 'status', { cluster });
  const { shards, sentinels } = await look();
  const held = await stack.dependencies.secrets.require(cluster);
  const address = shards[0]?.nodes.find(({ role }) => role === 'primary')?.address ?? '';
  const synced = await handshake(asFollower(held, false, address));
  if (synced.how !== 'full') throw new Error('a server cannot go on where nothing was asked for');
  try {
    for await (const part of synced.rdb) void part;
    const listed = (at: string) =>
      withNode(asOperator(held, false, { kind: 'sentinel', address: at }), (redis) => redis.call('SENTINEL', 'REPLICAS', cluster));
    await until(
      'every sentinel takes it for a replica',
      async () => (await Promise.all(sentinels.map((one) => listed(one.address)))).every((found) => (found as unknown[]).length === 2),
      30_000,
    );
  } finally {
    synced.link.close();
  }
  expect((await look()).findings.map(({ code }) => code)).not.toContain('sentinel-replicas');
});

test('from the command line one is made, listed and shown, and one that is not there is told as that', async () => {
  const cluster = specs.sentinel.name;
  const cli = (...args: readonly string[]) => piped(['backup', ...args], { env: stack.env });
  const made = await cli('create', cluster, '--yes', '--label', 'by hand', '--keep-until', '2027-01-01', '--verify', 'checksum');
  expect(made).toMatchObject({ code: 0 });
  expect(made.stdout).toMatch(/back up shard 0.*a replica.*stored +1 shard/s);
  const [newest] = await list(cluster);
  expect(newest).toMatchObject({ label: 'by hand', keepUntil: '2027-01-01T00:00:00.000Z', proof: { how: 'opened' } });
  expect((await cli('list', cluster)).stdout).toMatch(new RegExp(`${newest?.id} +opened .*by hand`));
  expect((await cli('show', cluster, newest?.id ?? '')).stdout).toMatch(/verified +no; opened/);
  expect(await cli('show', cluster, '20200101T000000Z-00000000')).toMatchObject({
    code: exitCodes.notFound,
    stderr: expect.stringContaining(`holdfast backup list ${cluster}`),
  });
});
