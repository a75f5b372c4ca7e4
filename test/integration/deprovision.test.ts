import { afterAll, beforeAll, expect, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, refusal } from './ask.ts';

const name = uniqueName();
const spec = testSpec(name, { deletionProtection: true });
/** Named as if they were the cluster's, but not labelled: somebody else's. */
const neighbour = { container: `${name}-9-9-copy`, volume: `${name}-backup-data` };
const NOTHING = { containers: [], volumes: [], networks: [] };
let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  const { docker } = stack.dependencies;
  await ask(stack, 'provision', { spec });
  await docker.createVolume({ Name: neighbour.volume });
  await docker.createContainer({ name: neighbour.container, Image: 'valkey/valkey:9.1', Entrypoint: ['valkey-server'] });
});
afterAll(async () => {
  const { docker } = stack.dependencies;
  await sweep(docker, name);
  await docker
    .getContainer(neighbour.container)
    .remove({ force: true })
    .catch(() => undefined); // the test may not have made it
  await docker
    .getVolume(neighbour.volume)
    .remove()
    .catch(() => undefined); // likewise
  await stack.stop();
});

test('a cluster under deletion protection is not removed, and the message says how it can be', async () => {
  const refused = await refusal(ask(stack, 'deprovision', { cluster: name, confirm: name }));
  expect(refused.type).toBe(failures.refused);
  expect(refused.message).toContain('is under deletion protection: set deletionProtection: false');
  expect((await holdings(stack.dependencies.docker, name)).containers).toHaveLength(6);
});

test('a name that is not typed twice alike removes nothing', async () => {
  const refused = await refusal(ask(stack, 'deprovision', { cluster: name, confirm: `${name}x`, force: true }));
  expect(refused).toMatchObject({ type: failures.invalidInput });
  expect(refused.message).toContain('confirm must repeat the name of the cluster');
  expect((await holdings(stack.dependencies.docker, name)).containers).toHaveLength(6);
});

test('a cluster that is not there is told as such', async () => {
  const refused = await refusal(ask(stack, 'deprovision', { cluster: 'no-such-cluster', confirm: 'no-such-cluster' }));
  expect(refused).toMatchObject({ type: failures.clusterNotFound });
});

test('with volumes kept, a later provision finds all data again', async () => {
  const keys = Array.from({ length: 200 }, (_, i) => `key:${i}`);
  await asApplication(stack, name, (app) => Promise.all(keys.map((key) => app.set(key, `value of ${key}`))));
  await ask(stack, 'deprovision', { cluster: name, confirm: name, force: true, keepVolumes: true });
  const kept = await holdings(stack.dependencies.docker, name);
  expect(kept.containers).toEqual([]);
  expect(kept.volumes).toHaveLength(6);
  expect((await ask<OperationResult>(stack, 'provision', { spec })).outcome).toBe('done');
  const values = await asApplication(stack, name, (app) => Promise.all(keys.map((key) => app.get(key))));
  expect(values).toEqual(keys.map((key) => `value of ${key}`));
});

test('by force everything of the cluster goes, and nothing that merely has a similar name', async () => {
  const { docker } = stack.dependencies;
  expect((await ask<OperationResult>(stack, 'deprovision', { cluster: name, confirm: name, force: true })).outcome).toBe('done');
  expect(await holdings(docker, name)).toEqual(NOTHING);
  expect((await docker.getContainer(neighbour.container).inspect()).Name).toBe(`/${neighbour.container}`);
  expect((await docker.getVolume(neighbour.volume).inspect()).Name).toBe(neighbour.volume);
  expect(await stack.dependencies.store.list(`clusters/${name}/`)).toEqual([]);
  expect((await ask<StatusReport>(stack, 'status', { cluster: name })).verdict).toBe('absent');
});
