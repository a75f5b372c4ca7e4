import { createHash } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import type { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import { inspectContainer, runInContainer } from '../../activities/docker/containers.ts';
import { engineCatalogue } from '../../config/engines.ts';
import { nodeName, nodePaths } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { clusterNames, sweep, testSpec } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { findChanges, LIBRARY, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask, onNode, refusal } from './ask.ts';
import { contentsOfNode } from './node-data.ts';

let stack: Stack;
const { names, named } = clusterNames();
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);

const LARGE_BYTES = 20 * 1024 ** 2;
const MORTAL_UNTIL_MS = Date.parse('2040-01-01T00:00:00Z');

/** Names and values that a server writes in a way of its own: as numbers, compressed, in several parts, too large to be held. */
async function writeOddData(app: Redis | Cluster, hasMortalFields: boolean): Promise<void> {
  const text = (i: number) => `${i} ${'x'.repeat(i % 90)}`;
  for (const name of [
    '7',
    '-300',
    '70000',
    '2147483648',
    '007',
    `{${'tag'.repeat(40)}}:same`,
    'n'.repeat(100),
    'y'.repeat(20_000),
    '{}empty',
    '{a}{b}',
    'foo{}{bar}',
  ])
    await app.set(name, `of ${name.slice(0, 20)}`);
  for (const number of [0, -1, 200, 40_000, 3_000_000_000]) await app.set(`number:${number}`, number);
  await app.setrange('large text', LARGE_BYTES - 1, 'z');
  for (let at = 0; at < 200_000; at += 5000) {
    const part = Array.from({ length: 5000 }, (_, i) => at + i);
    await app.hset('large hash', Object.fromEntries(part.map((i) => [`field ${i}`, text(i)])));
    await app.zadd('large sorted', ...part.flatMap((i) => [i / 3, `member ${i}`]));
  }
  await app.zadd('sorted to the end', '-inf', 'first', '+inf', 'last', '1e300', 'far');
  await app.sadd('numbers', ...Array.from({ length: 100 }, (_, i) => i * 1000));
  await app.sadd('words', ...Array.from({ length: 300 }, (_, i) => text(i)));
  await app.rpush('long list', ...Array.from({ length: 3000 }, (_, i) => text(i)), 'w'.repeat(20_000));
  await app.pfadd('counted', ...Array.from({ length: 1000 }, (_, i) => text(i)));
  for (let n = 1; n <= 300; n++) await app.xadd('busy stream', `${n}-1`, 'n', text(n));
  await app.xgroup('CREATE', 'busy stream', 'readers', '0');
  for (const reader of ['one', 'two']) await app.xreadgroup('GROUP', 'readers', reader, 'COUNT', 100, 'STREAMS', 'busy stream', '>');
  await app.xdel('busy stream', '5-1');
  await app.xadd('gone stream', '1-1', 'n', 'v');
  await app.xdel('gone stream', '1-1');
  if (!hasMortalFields) return;
  for (const name of ['few fields', 'large hash'])
    await app
      .hset(name, { 'field 1': 1, 'field 2': 2, 'field 3': 3 })
      .then(() => app.call('HPEXPIREAT', name, MORTAL_UNTIL_MS, 'FIELDS', 2, 'field 1', 'field 2'));
}

const SHARDS = [0, 1, 2, 3];

const sha1 = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest();
/** With which a server's digest begins: of the number of the first database. */
const BEGINS = BigInt(`0x${sha1(sha1(new Uint8Array(4))).toString('hex')}`);

/** All of a cluster's keys, wherever they are: a server's digest is that of each of its keys, one XOR the other. Every shard has some. */
async function digestOf(spec: Parameters<typeof contentsOfNode>[1], cluster: string, shards: readonly number[]) {
  const contents = await Promise.all(shards.map((shard) => contentsOfNode(stack, spec, nodeName(cluster, shard, 0), cluster)));
  const digest = contents.reduce((sum, one) => sum ^ BigInt(`0x${one.digest}`) ^ BEGINS, 0n);
  return { keys: contents.reduce((sum, { keys }) => sum + keys, 0), digest: digest.toString(16) };
}

test('a shard that only its server can read is sent by one, and nothing is left of what was begun', { timeout: 300_000 }, async () => {
  const cluster = named();
  await run('provision', { spec: testSpec(cluster, { replicasPerShard: 0, pitr: { enabled: true, rpoSeconds: 1 } }) });
  const { dependencies } = stack;
  const window = () => readRecoveryWindow(dependencies.store, cluster);
  await until('the archive reaches something', async () => (await window()).latest, 60_000);
  await asApplication(stack, cluster, writeStaticData);
  // It tells whoever takes the writes apart no key.
  await onNode(stack, cluster, nodeName(cluster, 1, 0), (redis) => redis.flushall());
  await asApplication(stack, cluster, (app) => app.set('foo{}{bar}', 'after it'));
  const written = new Date().toISOString();
  await until('all of it is archived', async () => ((await window()).latest ?? '') > written, 60_000);
  const counts = await Promise.all(
    [0, 1, 2].map((shard) => onNode(stack, cluster, nodeName(cluster, shard, 0), (redis) => redis.dbsize())),
  );

  const into = named();
  const { steps } = await run('restore', { cluster, latest: true, into, changes: { shards: 4, pitr: { enabled: false } } });
  const done = steps.filter(({ state }) => state === 'done').map(({ name }) => name);
  expect(steps.find(({ name }) => name === 'spread the keys of shard 1')).toMatchObject({
    state: 'failed',
    note: expect.stringContaining('it holds a command FLUSHALL'),
  });
  expect(done).toEqual(expect.arrayContaining([0, 1, 2].map((shard) => `copy the keys of shard ${shard}`)));
  const { verdict, shards } = await ask<StatusReport>(stack, 'status', { cluster: into });
  const keys = shards.reduce((sum, shard) => sum + (shard.keys ?? 0), 0);
  // Keys that say the time end by themselves.
  const difference = counts.reduce((sum, count) => sum + count, 0) - keys;
  expect([verdict, Math.abs(difference) <= counts.length]).toEqual(['healthy', true]);
  expect(await asApplication(stack, into, (app) => app.get('foo{}{bar}'))).toBe('after it');
  for (const shard of [0, 1, 2, 3]) {
    const files = await runInContainer(dependencies.docker, nodeName(into, shard, 0), ['sh', '-c', `ls ${nodePaths.appendOnly}`]);
    expect(files).toContain('manifest');
    expect(files).not.toContain('spread');
  }
});

test('keys of a slot that was flushed are gone at any later moment, among as many shards and among others', {
  timeout: 300_000,
}, async () => {
  const cluster = named();
  await run('provision', { spec: testSpec(cluster, { replicasPerShard: 0, pitr: { enabled: true, rpoSeconds: 1 } }) });
  const window = () => readRecoveryWindow(stack.dependencies.store, cluster);
  await until('the archive reaches something', async () => (await window()).latest, 60_000);
  const archived = async () => {
    const now = new Date().toISOString();
    await until('all of it is archived', async () => ((await window()).latest ?? '') > now, 60_000);
  };
  const slot = calculateSlot('foo');
  await asApplication(stack, cluster, async (app) => {
    for (const key of ['foo', '{foo}:2', 'other']) await app.set(key, 'before');
  });
  await archived();
  await onNode(stack, cluster, nodeName(cluster, 2, 0), (redis) => redis.call('CLUSTER', 'FLUSHSLOT', slot));
  await asApplication(stack, cluster, (app) => app.set('{foo}:3', 'after'));
  await archived();

  const wanted = { foo: null, '{foo}:2': null, '{foo}:3': 'after', other: 'before' };
  for (const changes of [{}, { shards: 4 }]) {
    const into = named();
    await run('restore', { cluster, latest: true, into, changes: { ...changes, pitr: { enabled: false } } });
    const found = await asApplication(stack, into, async (app) => {
      const values: Record<string, string | null> = {};
      for (const key of Object.keys(wanted)) values[key] = await app.get(key);
      return values;
    });
    expect(found, JSON.stringify(changes)).toEqual(wanted);
    await run('deprovision', { cluster: into, confirm: into });
  }
  // A server outside of a cluster knows no slots.
  const { type, message } = await refusal(run('restore', { cluster, latest: true, into: named(), include: ['*'] }));
  expect([type, message]).toEqual(['PlanRefused', expect.stringContaining('CLUSTER FLUSHSLOT')]);
});

/** Of one kind all: the other engines write much the same. */
const everything = process.env.TEST_ALL === 'true';
const engines = everything ? engineCatalogue : engineCatalogue.filter(({ engine, version }) => `${engine} ${version}` === 'redis 8.0');

test.each(engines)('every key of $engine $version is as it was, among other shards', { timeout: 300_000 }, async ({ engine, version }) => {
  const cluster = named();
  const hasMortalFields = version === '8.0' || version === '9.1';
  const resources = { memory: '256Mi' };
  const spec = testSpec(cluster, {
    engine,
    version,
    shards: SHARDS.length,
    replicasPerShard: 0,
    resources,
    config: { 'maxmemory-policy': 'allkeys-lfu' },
  });
  await run('provision', { spec });
  await asApplication(stack, cluster, writeStaticData);
  await asApplication(stack, cluster, (app) => writeOddData(app, hasMortalFields));
  for (const shard of SHARDS) await onNode(stack, cluster, nodeName(cluster, shard, 0), (redis) => redis.call('FUNCTION', 'LOAD', LIBRARY));
  const { backup } = await run('backup', { cluster, fromPrimary: true });
  const before = await digestOf(spec, cluster, SHARDS);
  await run('deprovision', { cluster, confirm: cluster });

  for (const shards of everything ? [3, 5] : [3]) {
    const into = named();
    const { restored, steps } = await run('restore', {
      cluster,
      backup: backup?.id,
      into,
      changes: { shards, replicasPerShard: shards === 3 ? 1 : 0 },
    });
    expect(restored?.keys).toBe(before.keys);
    expect(steps.filter(({ name }) => /spread|copy/.test(name)).map(({ name }) => name)).toEqual(
      SHARDS.map((shard) => `spread the keys of shard ${shard}`),
    );
    expect((await ask<StatusReport>(stack, 'status', { cluster: into })).verdict).toBe('healthy');
    const all = Array.from({ length: shards }, (_, shard) => shard);
    expect(await digestOf(spec, into, all)).toEqual(before);
    expect(await asApplication(stack, into, findChanges)).toEqual([]);
    await asApplication(stack, into, async (app) => {
      expect(await app.strlen('large text')).toBe(LARGE_BYTES);
      expect([await app.hlen('large hash'), await app.zcard('large sorted')]).toEqual([200_000, 200_000]);
      if (hasMortalFields)
        expect(await app.call('HPEXPIRETIME', 'large hash', 'FIELDS', 2, 'field 2', 'field 3')).toEqual([MORTAL_UNTIL_MS, -1]);
    });
    // It starts again from what it was given.
    const { docker } = stack.dependencies;
    const name = nodeName(into, 1, 0);
    const keys = await onNode(stack, into, name, (redis) => redis.dbsize());
    await docker.getContainer(name).restart();
    expect((await inspectContainer(docker, name))?.State.Running).toBe(true);
    expect(await onNode(stack, into, name, (redis) => redis.dbsize())).toBe(keys);
    const listed = await runInContainer(docker, name, [
      'sh',
      '-c',
      `cd ${nodePaths.appendOnly} && for one in *; do grep -qF "$one " *.manifest || echo "$one"; done`,
    ]);
    expect(listed?.trim().split('\n')).toEqual(['appendonly.aof.manifest']);
    await run('deprovision', { cluster: into, confirm: into });
  }
});
