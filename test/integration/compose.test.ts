import { Client, Connection } from '@temporalio/client';
import Docker from 'dockerode';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type ComposeStack, startComposeStack } from '../support/compose-stack.ts';

const cluster = uniqueName('compose');
const watched = uniqueName('compose');
let stack: ComposeStack | undefined;
let connection: Connection | undefined;

beforeAll(async () => {
  stack = await startComposeStack();
  connection = await Connection.connect({ address: stack.temporalAddress });
}, 420_000);

afterAll(async () => {
  await connection?.close();
  // The worker sits in the network of a cluster that a failed test left behind: it goes first.
  await stack?.down();
  for (const name of [cluster, watched]) await sweep(new Docker(), name);
}, 180_000);

test('the compose file is a whole Holdfast: its worker provisions a cluster from inside a container, and removes it', async () => {
  if (stack === undefined || connection === undefined) throw new Error('the stack is not up');
  const client = new Client({ connection });
  const execute = <T>(type: string, input: unknown) =>
    client.workflow.execute(type, {
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowId: uniqueName(`compose/${type}/`),
      args: [input],
      workflowExecutionTimeout: '2 minutes',
    }) as Promise<T>;

  expect((await fetch(stack.uiAddress)).status).toBe(200);

  const spec = testSpec(cluster);
  expect((await execute<OperationResult>('provision', { spec })).outcome).toBe('done');
  const status = await execute<StatusReport>('status', { cluster });
  expect(status.verdict).toBe('healthy');
  expect(status.shards.map((shard) => shard.slotCount).reduce((a, b) => a + b)).toBe(16384);

  // What is long-lived must come back: state is in PostgreSQL and the object store, not in the containers.
  await stack.compose('restart', '--timeout', '10', 'postgres', 'temporal', 'objects', 'worker');
  await stack.compose('up', '--detach', '--wait', '--wait-timeout', '120');
  const again = await execute<OperationResult>('provision', { spec });
  expect(again.outcome).toBe('unchanged');

  // The worker is a guest in each cluster's network, and must not take an address that a sentinel is to have.
  expect((await execute<OperationResult>('provision', { spec: testSpec(watched, { mode: 'sentinel' }) })).outcome).toBe('done');

  for (const name of [cluster, watched]) {
    await execute<OperationResult>('deprovision', { cluster: name, confirm: name });
    expect(await holdings(new Docker(), name)).toEqual({ containers: [], volumes: [], networks: [] });
  }
}, 300_000);
