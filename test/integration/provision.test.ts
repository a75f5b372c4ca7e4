import { afterAll, beforeAll, expect, test } from 'vitest';
import { WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';

let stack: Stack;
const name = uniqueName();

beforeAll(async () => {
  stack = await startStack();
});

afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const execute = <T>(type: string, input: unknown) =>
  stack.client.workflow.execute(type, {
    taskQueue: WORKFLOW_TASK_QUEUE,
    workflowId: `${type}-${uniqueName()}`,
    args: [input],
  }) as Promise<T>;

test('a spec becomes a healthy cluster, and a second run changes nothing', async () => {
  const made = await execute<OperationResult>('provision', { spec: testSpec(name) });
  expect(made.outcome).toBe('done');
  const status = await execute<StatusReport>('status', { cluster: name });
  expect(status.verdict).toBe('healthy');
  expect(status.shards.map((shard) => shard.slotCount).reduce((a, b) => a + b)).toBe(16384);
  const again = await execute<OperationResult>('provision', { spec: testSpec(name) });
  expect(again.outcome).toBe('unchanged');
  expect((await execute<StatusReport>('status', { cluster: name })).journal.map((entry) => entry.outcome)).toEqual(['done', 'unchanged']);
  await execute('deprovision', { cluster: name, confirm: name });
  expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
});
