import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, onNode, refusal } from './ask.ts';

const name = uniqueName();
const nodes = Array.from({ length: 3 }, (_, shard) => [`${name}-${shard}-0`, `${name}-${shard}-1`]).flat();
let stack: Stack;
/** What the cluster is now; each test goes on from there. */
let spec: ClusterSpecInput = testSpec(name);

beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec });
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const configure = async (changes: Partial<ClusterSpecInput>): Promise<OperationResult> => {
  const result = await ask<OperationResult>(stack, 'configure', { spec: { ...spec, ...changes } });
  spec = { ...spec, ...changes };
  return result;
};
const valueOn = (node: string, parameter: string) =>
  onNode(stack, name, node, async (redis) => ((await redis.config('GET', parameter)) as string[])[1]);
const valuesOf = async (parameter: string) => [...new Set(await Promise.all(nodes.map((node) => valueOn(node, parameter))))];
const inspect = (node: string) => stack.dependencies.docker.getContainer(node).inspect();

test('server parameters change on every node while it serves, and hold after a restart', async () => {
  const result = await configure({
    config: { hz: 25, 'maxmemory-policy': 'allkeys-lru', 'client-output-buffer-limit': 'pubsub 16mb 4mb 60' },
  });
  expect(result).toMatchObject({ outcome: 'done', generation: 2 });
  expect(await valuesOf('hz')).toEqual(['25']);
  expect(await valuesOf('maxmemory-policy')).toEqual(['allkeys-lru']);
  const [node = ''] = nodes.slice(1);
  await stack.dependencies.docker.getContainer(node).restart({ t: 10 });
  await until(
    'the restarted node follows again',
    async () => (await ask<StatusReport>(stack, 'status', { cluster: name })).verdict === 'healthy',
  );
  expect(await valueOn(node, 'hz')).toBe('25');
  expect(await valueOn(node, 'client-output-buffer-limit')).toContain('pubsub 16777216 4194304 60');
});

test('the same spec once more changes nothing', async () => {
  expect(await configure({})).toMatchObject({ outcome: 'unchanged', steps: [] });
});

test('a parameter that somebody changed by hand on one node is put right, under the same generation', async () => {
  const [drifted = ''] = nodes.slice(3);
  await onNode(stack, name, drifted, (redis) => redis.config('SET', 'hz', '99'));
  const result = await configure({});
  expect(result).toMatchObject({ outcome: 'done', generation: 2 });
  expect(result.plan.steps.map((step) => step.name)).toEqual(['set server parameters']);
  expect(await valuesOf('hz')).toEqual(['25']);
});

test('users come, change and go, and log in with the passwords that Holdfast made', async () => {
  await asApplication(stack, name, (app) => app.set('kept', 'yes'));
  await configure({ security: { users: [{ name: 'app', rules: '~* +@read +cluster' }, { name: 'report' }] } });
  await expect(asApplication(stack, name, (app) => app.set('kept', 'no'))).rejects.toThrow(/NOPERM/);
  expect(await asApplication(stack, name, (app) => app.get('kept'))).toBe('yes');
  expect(await asApplication(stack, name, (report) => report.set('reports', '1'), { user: 'report' })).toBe('OK');
  const { users } = await stack.dependencies.secrets.readCredentials(name);
  expect(new Set(users.map((user) => user.password)).size).toBe(users.length);
  await configure({ security: { users: [{ name: 'report' }] } });
  for (const node of nodes) expect(await onNode(stack, name, node, async (redis) => redis.call('ACL', 'GETUSER', 'app'))).toBeNull();
  const [node = ''] = nodes;
  await stack.dependencies.docker.getContainer(node).restart({ t: 10 });
  await until('the restarted node answers', () =>
    onNode(stack, name, node, (redis) => redis.ping(), { user: 'report' }).catch(() => undefined),
  );
  await until('it is healthy', async () => (await ask<StatusReport>(stack, 'status', { cluster: name })).verdict === 'healthy');
});

test('memory grows and shrinks, limit and maxmemory together', async () => {
  for (const [memory, mebibytes] of [
    ['192Mi', 192],
    ['128Mi', 128],
  ] as const) {
    await configure({ resources: { memory } });
    expect(await valuesOf('maxmemory')).toEqual([String(mebibytes * 0.75 * 1024 ** 2)]);
    for (const node of nodes) expect((await inspect(node)).HostConfig.Memory).toBe(mebibytes * 1024 ** 2);
  }
});

test('what cannot change while it serves is refused with what it would need, and nothing is changed', async () => {
  const before = await valuesOf('hz');
  const refused = await refusal(
    ask(stack, 'configure', { spec: { ...spec, shards: 4, version: '8.1', config: { ...spec.config, hz: 40 } } }),
  );
  expect(refused.type).toBe(failures.refused);
  expect(refused.message).toContain('shards (3 -> 4) cannot change while it serves: it needs slots moved between primaries');
  expect(refused.message).toContain('version (9.1 -> 8.1) cannot change while it serves: it needs a rolling upgrade');
  expect(await valuesOf('hz')).toEqual(before);
});

test('a value that the server itself refuses fails soon with the server’s words, and what was set is set back', async () => {
  const refused = await refusal(
    ask(stack, 'configure', { spec: { ...spec, config: { ...spec.config, hz: 33, 'maxmemory-samples': 9999 } } }),
  );
  expect(refused.type).toBe(failures.engineRefused);
  expect(refused.message).toMatch(/maxmemory-samples/);
  expect(await valuesOf('hz')).toEqual(['25']);
  const status = await ask<StatusReport>(stack, 'status', { cluster: name });
  expect(status).toMatchObject({ verdict: 'healthy' });
  expect(status.journal.at(-1)).toMatchObject({ operation: 'configure', outcome: 'failed' });
}, 60_000);
