import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { engineCatalogue } from '../../config/engines.ts';
import { labels, nodeName, objectKeys, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { piped } from '../cli/piped.ts';
import { clusterNames, holdings, sweep, testSpec } from '../support/clusters.ts';
import type { Contents } from '../support/lone-shard.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { findChanges, LIBRARY, STATIC_KEYS, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask, onNode, refusal } from './ask.ts';
import { contentsOfNode } from './node-data.ts';

let stack: Stack;
const { names, named } = clusterNames();
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);

const SHARDS = [0, 1, 2];
const spec = testSpec(named(), { engine: 'valkey', version: '9.1', replicasPerShard: 0 });
const source = spec.name;
const slotsOf = async (cluster: string) => (await ask<StatusReport>(stack, 'status', { cluster })).shards.map(({ slots }) => slots);
let before: readonly Contents[];
let slots: unknown;
let backup = '';

beforeAll(async () => {
  stack = await startStack();
  await run('provision', { spec });
  await asApplication(stack, source, writeStaticData);
  // The client takes it to the wrong node, which knows better.
  await asApplication(stack, source, (app) => app.set('foo{}{bar}', 'by all of its name'));
  for (const shard of SHARDS)
    await onNode(stack, source, nodeName(source, shard, 0), async (redis) => {
      await redis.call('FUNCTION', 'LOAD', LIBRARY);
    });
  await run('rebalance', { cluster: source, weights: { 1: 0.5 } });
  const made = await run('backup', { cluster: source, fromPrimary: true, verify: 'checksum' });
  backup = made.backup?.id ?? '';
  before = await Promise.all(SHARDS.map((shard) => contentsOfNode(stack, spec, nodeName(source, shard, 0))));
  slots = await slotsOf(source);
  await run('deprovision', { cluster: source, confirm: source });
});

/** A copy is sent with what is left of each key's time, so no digest is equal: every value is looked at. */
async function requireCopy(cluster: string, spec: Partial<ClusterSpecInput>): Promise<void> {
  const { verdict, shards } = await ask<StatusReport>(stack, 'status', { cluster });
  expect({ verdict, shards: shards.length }).toEqual({ verdict: 'healthy', shards: spec.shards });
  expect(shards.reduce((sum, { keys = 0 }) => sum + keys, 0)).toBe(before.reduce((sum, { keys }) => sum + keys, 0));
  expect(await asApplication(stack, cluster, findChanges)).toEqual([]);
  const { docker } = stack.dependencies;
  const filters = { label: [labels.scratch] };
  expect((await docker.listContainers({ all: true, filters })).filter(({ Names }) => Names[0]?.includes(cluster))).toEqual([]);
  expect((await docker.listVolumes({ filters })).Volumes.filter(({ Name }) => Name.includes(cluster))).toEqual([]);
}

test('a cluster that is gone comes back under another name: every key, the slots where they were, functions and users', async () => {
  const into = named();
  const restored = await piped(
    ['restore', source, '--backup', backup, '--into', into, '--set', 'resources.memory=160Mi', '--set', 'replicasPerShard=1', '--yes'],
    { env: stack.env },
  );
  expect(restored).toMatchObject({ code: 0 });
  const now = await ask<StatusReport>(stack, 'status', { cluster: into });
  expect(now).toMatchObject({ verdict: 'healthy', spec: { resources: { memory: '160Mi' }, replicasPerShard: 1 } });
  const primaries = now.shards.map(({ nodes }) => nodes.find(({ role }) => role === 'primary')?.name ?? '');
  expect(await Promise.all(primaries.map((node) => contentsOfNode(stack, spec, node, into)))).toEqual(before);
  expect(await slotsOf(into)).toEqual(slots);
  expect(await asApplication(stack, into, findChanges)).toEqual([]);
  await run('deprovision', { cluster: into, confirm: into });
});

test('with another number of shards every key is where it belongs, and with a pattern only what matches is there', async () => {
  const into = named();
  const result = await run('restore', { cluster: source, backup, into, changes: { shards: 4 } });
  expect(result.restored?.keys).toBe(before.reduce((sum, { keys }) => sum + keys, 0));
  await requireCopy(into, { shards: 4 });
  await run('deprovision', { cluster: into, confirm: into });

  const part = named();
  await run('restore', {
    cluster: source,
    backup,
    into: part,
    include: ['text:1*', 'text:*'],
    changes: { mode: 'sentinel', replicasPerShard: 1, security: { tls: false } },
  });
  const { shards } = await ask<StatusReport>(stack, 'status', { cluster: part });
  expect(shards).toMatchObject([{ keys: STATIC_KEYS }]);
});

/** A restore that copies keys at this moment. */
async function whileItCopies(input: { readonly into: string }): Promise<WorkflowHandle> {
  const { client, dependencies } = stack;
  const { into } = input;
  const handle = await client.workflow.start('restore', { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: `restore-${into}`, args: [input] });
  const copying = async () =>
    (await dependencies.docker.listContainers({ filters: { label: [labels.scratch] } })).some(({ Names }) => Names[0]?.includes(into));
  await until('keys are copied', copying, 120_000);
  return handle;
}

test('a copy that is ended in the middle is told apart from a cluster that has its data, and is gone on with', async () => {
  const into = named();
  const input = { cluster: source, backup, into, include: ['*'], changes: { shards: 4 } };
  const { dependencies } = stack;
  await (await whileItCopies(input)).terminate('by a test');
  const { verdict, headline, findings } = await ask<StatusReport>(stack, 'status', { cluster: into });
  expect({ verdict, headline, findings }).toMatchObject({
    verdict: 'degraded',
    headline: expect.stringContaining(`never ended: the data of ${source}, backup ${backup}`),
    findings: [{ severity: 'critical', code: 'half-restored', next: expect.stringContaining(`holdfast deprovision ${into}`) }],
  });
  const refused = async (type: string, it: object) => (await refusal(run(type, it))).message;
  expect(await refused('provision', { spec: { ...spec, name: into, shards: 4 } })).toContain('run the same restore again');
  expect(await refused('restore', { ...input, include: ['text:*'] })).toContain('run the same restore again');
  await run('restore', input);
  // Functions come with all only.
  for (const shard of [0, 1, 2, 3]) await onNode(stack, into, nodeName(into, shard, 0), (redis) => redis.call('FUNCTION', 'LOAD', LIBRARY));
  await requireCopy(into, { shards: 4 });
  await run('deprovision', { cluster: into, confirm: into });

  // One that is removed half way leaves its name to anybody.
  await (await whileItCopies(input)).terminate('by a test');
  expect(await dependencies.store.get(objectKeys.restoring(into))).toBeDefined();
  await run('deprovision', { cluster: into, confirm: into });
  expect(await ask<StatusReport>(stack, 'status', { cluster: into })).toMatchObject({ verdict: 'absent' });
  expect(await dependencies.store.get(objectKeys.restoring(into))).toBeUndefined();
});

test('what a server cannot load is refused with what to choose, and nothing is made', async () => {
  const into = named();
  const refused = async (changes: object) => (await refusal(run('restore', { cluster: source, backup, into, changes }))).message;
  expect(await refused({ engine: 'redis', version: '8.0' })).toContain('redis 8.0 cannot load what valkey 9.1');
  expect(await refused({ version: '8.1' })).toContain('choose version 9.1 or later');
  expect(await refused({ shard: 4 })).toContain('Unrecognized key');
  expect(await refusal(run('restore', { cluster: source, backup: '20200101T000000Z-00000000', into }))).toMatchObject({
    type: 'BackupNotFound',
  });
  expect(await holdings(stack.dependencies.docker, into)).toEqual({ containers: [], volumes: [], networks: [] });
});

/** From one engine or version to another that can read it; and every engine in both modes with TLS, back into the same. */
const MORTAL_UNTIL_MS = Date.parse('2040-01-01T00:00:00Z');
const across = [
  { from: { engine: 'redis', version: '7.0', mode: 'sentinel', tls: false }, to: { engine: 'valkey', version: '8.1' } },
  { from: { engine: 'redis', version: '7.0', mode: 'cluster', tls: false }, to: { engine: 'redis', version: '8.0' } },
  { from: { engine: 'valkey', version: '8.1', mode: 'cluster', tls: true }, to: { engine: 'valkey', version: '9.1' } },
] as const;
const trips = [
  ...across,
  ...engineCatalogue.flatMap(({ engine, version }) =>
    (['cluster', 'sentinel'] as const).map((mode) => ({ from: { engine, version, mode, tls: true }, to: {} })),
  ),
];

test.each(process.env.TEST_ALL === 'true' ? trips : trips.slice(0, 1))(
  'all that $from.engine $from.version held in $from.mode mode is there afterwards: $to',
  { timeout: 300_000 },
  async ({ from: { tls, ...from }, to }) => {
    const [one, into] = [named(), named()];
    const origin = testSpec(one, { ...from, replicasPerShard: 1, security: { tls, users: [{ name: 'app' }] } });
    await run('provision', { spec: origin });
    await asApplication(stack, one, writeStaticData, { mode: from.mode, tls });
    // The servers of which each field of a hash can have a time.
    const hasMortalFields = origin.version === '8.0' || origin.version === '9.1';
    const fields = ['FIELDS', 2, 'field 1', 'field 2'];
    if (hasMortalFields)
      await asApplication(stack, one, (app) => app.call('HPEXPIREAT', '{of-0}:hash', MORTAL_UNTIL_MS, ...fields), { mode: from.mode, tls });
    const shards = from.mode === 'cluster' ? SHARDS : [0];
    for (const shard of shards)
      await onNode(stack, one, nodeName(one, shard, 0), (redis) => redis.call('FUNCTION', 'LOAD', LIBRARY), { tls });
    if (from.mode === 'sentinel')
      await onNode(stack, one, nodeName(one, 0, 0), (redis) => redis.multi().select(3).set('other', 'database').exec(), { tls });
    const made = await run('backup', { cluster: one });
    const held = await Promise.all(shards.map((shard) => contentsOfNode(stack, origin, nodeName(one, shard, 0))));
    await run('deprovision', { cluster: one, confirm: one });
    const { restored } = await run('restore', { cluster: one, backup: made.backup?.id, into, changes: to });
    const target = { ...origin, ...to };
    expect(await Promise.all(shards.map((shard) => contentsOfNode(stack, target, nodeName(into, shard, 0), into)))).toEqual(held);
    expect(restored?.keys).toBe(held.reduce((sum, { keys }) => sum + keys, 0));
    expect(await asApplication(stack, into, findChanges, { mode: from.mode, tls })).toEqual([]);
    if (hasMortalFields)
      expect(
        await asApplication(stack, into, (app) => app.call('HPEXPIRETIME', '{of-0}:hash', 'FIELDS', 3, 'field 1', 'field 2', 'field 3'), {
          mode: from.mode,
          tls,
        }),
      ).toEqual([MORTAL_UNTIL_MS, MORTAL_UNTIL_MS, -1]);
  },
);
