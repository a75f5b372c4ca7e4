import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { operationNames } from '../../config/operations.ts';
import type { OperationResult } from '../../config/progress.ts';
import { paths } from '../../scripts/setup/home.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { refusal } from './ask.ts';

const name = uniqueName();
let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

/** Starts a workflow as the Temporal UI does: one payload, of whatever was typed. */
async function paste(type: string, text: string, encoding = 'json/plain') {
  const workflowId = `pasted-${uniqueName()}`;
  await promisify(execFile)(paths.temporal, [
    'workflow',
    'start',
    '--address',
    stack.settings.HOLDFAST_TEMPORAL_ADDRESS,
    '--task-queue',
    WORKFLOW_TASK_QUEUE,
    '--type',
    type,
    '--workflow-id',
    workflowId,
    '--input',
    text,
    '--input-meta',
    `encoding=${encoding}`,
  ]);
  return stack.client.workflow.getHandle(workflowId);
}
/** As above, for text that the command line itself would refuse: the raw bytes of a payload. */
async function pasteRaw(type: string, text: string) {
  const workflowId = `pasted-${uniqueName()}`;
  const { connection, options } = stack.client;
  await connection.workflowService.startWorkflowExecution({
    namespace: options.namespace,
    workflowId,
    requestId: workflowId,
    workflowType: { name: type },
    taskQueue: { name: WORKFLOW_TASK_QUEUE },
    input: { payloads: [{ metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from(text) }] },
  });
  return stack.client.workflow.getHandle(workflowId);
}

test('pasted JSON works: it is planned, made, and removed again', async () => {
  const spec = testSpec(name, { replicasPerShard: 0 });
  const planned = (await (await paste('provision', JSON.stringify({ spec, dryRun: true }))).result()) as OperationResult;
  expect(planned).toMatchObject({ outcome: 'planned' });
  expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
  const made = (await (await paste('provision', JSON.stringify({ spec }, null, 2))).result()) as OperationResult;
  expect(made).toMatchObject({ outcome: 'done', generation: 1 });
  const gone = (await (await paste('deprovision', JSON.stringify({ cluster: name, confirm: name }))).result()) as OperationResult;
  expect(gone).toMatchObject({ outcome: 'done' });
  expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
});

test('the Temporal UI shows how an operation stands, as Markdown', async () => {
  const handle = await paste('provision', JSON.stringify({ spec: testSpec(name), approval: { timeoutSeconds: 2 } }));
  await refusal(handle.result());
  const { connection, options } = stack.client;
  const details = await connection.workflowService.queryWorkflow({
    namespace: options.namespace,
    execution: { workflowId: handle.workflowId },
    query: { queryType: '__temporal_workflow_metadata' },
  });
  const shown = Buffer.from(details.queryResult?.payloads?.[0]?.data ?? '').toString();
  expect(shown).toContain(`**provision ${name}**`);
  expect(shown).toContain('| step |');
});

test('a typo fails at once, and the message names it', async () => {
  const failure = await refusal(
    (await paste('provision', '{"spec": {"name": "orders", "engine": "valky", "version": "9.1", "replica": 1}}')).result(),
  );
  expect(failure.type).toBe('InvalidInput');
  expect(failure.message).toContain('the input of provision cannot be used');
  expect(failure.message).toContain('spec.engine');
  expect(failure.message).toContain('"replica"');
});

test('broken JSON fails at once, with where it breaks', async () => {
  const failure = await refusal((await pasteRaw('provision', '{"spec": {"name": ')).result());
  expect(failure.type).toBe('InvalidInput');
  expect(failure.message).toMatch(/the input of provision is not JSON: .*position|end of JSON/);
});

test.each(['"text"', '[]', '42', 'null'])('%s is no input, and is told so at once', async (text) => {
  const failure = await refusal((await paste('provision', text)).result());
  expect(failure.type).toBe('InvalidInput');
});

test('a workflow type that does not exist fails at once, with those that do', async () => {
  const failure = await refusal((await paste('povision', '{}')).result());
  expect(failure.type).toBe('UnknownWorkflow');
  for (const type of [...operationNames, 'scheduledBackup', 'status', 'list', 'listBackups', 'showBackup', 'recoveryWindow'])
    expect(failure.message).toMatch(new RegExp(`\\b${type}\\b`));
});
