import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { piped } from '../cli/piped.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { findChanges, LIBRARY, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask, onNode } from './ask.ts';
import { contentsOfNode } from './node-data.ts';

let stack: Stack;
const names: string[] = [];
const named = () => {
  names.push(uniqueName());
  return names.at(-1) ?? '';
};
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);

test('a cluster that is gone comes back under another name: every key, the slots where they were, functions and users', async () => {
  const [source, into] = [named(), named()];
  const spec = testSpec(source, { engine: 'valkey', version: '9.1', replicasPerShard: 1 });
  await run('provision', { spec });
  await asApplication(stack, source, writeStaticData);
  for (const shard of [0, 1, 2])
    await onNode(stack, source, `${source}-${shard}-0`, async (redis) => {
      await redis.call('FUNCTION', 'LOAD', LIBRARY);
    });
  await run('rebalance', { cluster: source, weights: { 1: 0.5 } });
  const { backup } = await run('backup', { cluster: source, verify: 'checksum' });
  const before = await Promise.all([0, 1, 2].map((shard) => contentsOfNode(stack, spec, `${source}-${shard}-0`)));
  const slotsOf = async (cluster: string) => (await ask<StatusReport>(stack, 'status', { cluster })).shards.map(({ slots }) => slots);
  const slots = await slotsOf(source);
  await run('deprovision', { cluster: source, confirm: source });

  const restored = await piped(
    ['restore', source, '--backup', backup?.id ?? '', '--into', into, '--set', 'resources.memory=160Mi', '--yes'],
    { env: stack.env },
  );
  expect(restored).toMatchObject({ code: 0 });
  const after = await Promise.all([0, 1, 2].map((shard) => contentsOfNode(stack, { ...spec, name: into }, `${into}-${shard}-0`)));
  expect(after).toEqual(before);
  expect(await slotsOf(into)).toEqual(slots);
  expect(await asApplication(stack, into, findChanges)).toEqual([]);
  expect(await ask<StatusReport>(stack, 'status', { cluster: into })).toMatchObject({
    verdict: 'healthy',
    spec: { resources: { memory: '160Mi' } },
  });
});
