import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { keeperWorkflowId } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { ClusterSummary, KeeperDescription, StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask } from './ask.ts';

const name = uniqueName();
const spec = testSpec(name, { replicasPerShard: 0 });
const changed = { ...spec, config: { hz: 20 } };
let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ withWorker: false });
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const containers = async () => {
  const found = await stack.dependencies.docker.listContainers({ filters: { label: [`holdfast.cluster=${name}`] } });
  return found.map(({ Id }) => Id).sort();
};

test('a lost Temporal database loses no cluster: the bucket’s record is taken up, and the running cluster is left as it is', async () => {
  const first = stack.startWorker();
  await ask(stack, 'provision', { spec });
  await ask(stack, 'configure', { spec: changed });
  await asApplication(stack, name, (app) => app.set('kept', 'yes'));
  const before = await containers();
  await first.kill('SIGKILL');

  for (const file of ['temporal.db', 'temporal.db-wal', 'temporal.db-shm']) rmSync(join(stack.folder, file), { force: true });
  await stack.restartTemporal();
  stack.startWorker();

  const [summary] = await ask<readonly ClusterSummary[]>(stack, 'list', {}).then((all) => all.filter(({ cluster }) => cluster === name));
  expect(summary).toMatchObject({ generation: 2, running: 3 });
  expect(await ask<StatusReport>(stack, 'status', { cluster: name })).toMatchObject({ verdict: 'healthy', generation: 2, journal: [] });

  const again = await ask<OperationResult>(stack, 'provision', { spec: changed });
  expect(again.plan.steps.map((step) => step.name)).toEqual(['schedule backups', 'hand the spec to the keeper']);
  expect(again).toMatchObject({ outcome: 'done', generation: 2 });
  const keeper = stack.client.workflow.getHandle(keeperWorkflowId(name));
  expect(await keeper.query<KeeperDescription>('describe')).toMatchObject({ generation: 2, spec: { config: { hz: '20' } } });
  expect(await containers()).toEqual(before);
  expect(await asApplication(stack, name, (app) => app.get('kept'))).toBe('yes');

  expect((await ask<OperationResult>(stack, 'provision', { spec: changed })).outcome).toBe('unchanged');
  expect((await ask<OperationResult>(stack, 'deprovision', { cluster: name, confirm: name })).outcome).toBe('done');
});
