import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { type MasterKeys, masterKeyId } from '../../activities/secrets/master-keys.ts';
import { failures } from '../../config/failures.ts';
import type { KeyReport } from '../../config/keys.ts';
import { lockWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { type Bench, failureOf, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const standing = async () => {
  const world = bench.world();
  await bench.execute(world, 'provision');
  const first = await ringOf(world).current();
  world.calls.length = 0;
  return { world, first };
};
const ringOf = (world: World, keys: MasterKeys = world.masterKeys) => createKeyRing(bench.store, keys, world.spec.name);
const rotate = (world: World, more: object = {}) => bench.execute(world, 'rotateKeys', { cluster: world.spec.name, ...more });
const lockOf = async (world: World) => (await bench.client.workflow.getHandle(lockWorkflowId(world.spec.name)).describe()).status.name;
/** The workers got another master key, and have the former one besides. */
const change = (world: World) => {
  const fresh = randomBytes(32);
  world.masterKeys = [fresh, ...world.masterKeys];
  return fresh;
};

describe('keys that are rotated', () => {
  test('are one more, and nothing else when the master key is the same', async () => {
    const { world, first } = await standing();
    expect(await rotate(world, { newKey: false })).toMatchObject({ outcome: 'unchanged' });
    const dry = await rotate(world, { dryRun: true });
    expect(dry.plan.steps.map(({ name }) => name)).toEqual(['make a new key', 'open them with it']);
    expect(await ringOf(world).list()).toHaveLength(1);
    expect(await rotate(world, { planDigest: dry.plan.digest })).toMatchObject({
      outcome: 'done',
      summary: `${world.spec.name}: a new key`,
    });
    const { id } = await ringOf(world).current();
    expect([id.slice(0, 7), id === first.id]).toEqual(['000002-', false]);
    expect(await ringOf(world).byId(first.id)).toEqual(first.key);
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('are sealed under a new master key, with the secrets, and open with it alone', async () => {
    const { world, first } = await standing();
    const [former] = world.masterKeys;
    const fresh = change(world);
    const done = await rotate(world, { newKey: false });
    expect(done.summary).toBe(`${world.spec.name}: 1 key and the secrets under master key ${masterKeyId(fresh)}`);
    expect(done.plan.steps[0]?.change).toBe(
      `1 key and the secrets of ${world.spec.name} under ${masterKeyId(fresh)}, and not under ${masterKeyId(former)} any more`,
    );
    expect(await ringOf(world, [fresh]).byId(first.id)).toEqual(first.key);
    await expect(ringOf(world, [former]).byId(first.id)).rejects.toMatchObject({ type: failures.wrongMasterKey });
    expect(world.sealedUnder).toBe(masterKeyId(fresh));
    expect(await rotate(world, { newKey: false })).toMatchObject({ outcome: 'unchanged' });
  });

  test('get one new key, however often the worker that made it dies', async () => {
    const { world } = await standing();
    change(world);
    const dying = new Map([...(['makeKey', 'rewrapKeys', 'checkKeys'] as const)].map((activity) => [activity, 2]));
    for (const activity of dying.keys())
      world.before(activity, async (args) => {
        const left = dying.get(activity) ?? 0;
        dying.set(activity, left - 1);
        if (left <= 0) return;
        if (activity === 'makeKey') await ringOf(world).makeNew(String(args[2])); // it was made, and nobody heard of it
        throw new Error('killed');
      });
    expect(await rotate(world)).toMatchObject({ outcome: 'done' });
    expect(await ringOf(world).list()).toHaveLength(2);
  });

  test('under a master key that the workers do not have are named, and nothing is done', async () => {
    const { world, first } = await standing();
    const [former] = world.masterKeys;
    world.masterKeys = [randomBytes(32)];
    const refused = await failureOf(rotate(world));
    expect(refused.type).toBe(failures.refused);
    expect(refused.message).toContain(
      `key ${first.id} of ${world.spec.name} is sealed under master key ${masterKeyId(former)}, which this worker`,
    );
    expect((await ringOf(world).list()).map(({ under }) => under)).toEqual([[masterKeyId(former)]]);
  });

  test('stay as they are when another worker has other master keys than the one that planned', async () => {
    const { world } = await standing();
    change(world);
    const [fresh, former] = world.masterKeys;
    world.before('rewrapKeys', () => {
      if (former !== undefined) world.masterKeys = [former, fresh];
    });
    const refused = await failureOf(rotate(world, { newKey: false }));
    expect(refused.type).toBe(failures.wrongMasterKey);
    expect(refused.message).toContain('give all workers the same master keys in the same order');
    expect((await ringOf(world).list())[0]?.under).toEqual([masterKeyId(former ?? fresh)]);
  });

  test('of a cluster that is gone are rotated too; of one that never was it says so', async () => {
    const { world, first } = await standing();
    await bench.execute(world, 'deprovision', { cluster: world.spec.name, confirm: world.spec.name, force: true });
    const fresh = change(world);
    expect((await rotate(world, { newKey: false })).summary).toBe(`${world.spec.name}: 1 key under master key ${masterKeyId(fresh)}`);
    expect(await ringOf(world, [fresh]).byId(first.id)).toEqual(first.key);
    expect((await failureOf(rotate(bench.world()))).type).toBe(failures.clusterNotFound);
  });
});

test('a list of keys says for every cluster which master keys it depends on', async () => {
  const { world, first } = await standing();
  const [former] = world.masterKeys;
  const fresh = change(world);
  const report = (await bench.client.workflow.execute('listKeys', {
    workflowId: `${world.spec.name}:listKeys`,
    taskQueue: WORKFLOW_TASK_QUEUE,
    args: [{}],
  })) as KeyReport;
  expect(report.master).toEqual({ current: masterKeyId(fresh), others: [masterKeyId(former)] });
  expect(report.clusters.find(({ cluster }) => cluster === world.spec.name)).toEqual({
    cluster: world.spec.name,
    secrets: masterKeyId(former),
    keys: [{ id: first.id, under: [masterKeyId(former)] }],
  });
});
