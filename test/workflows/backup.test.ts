import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys, lockWorkflowId } from '../../config/names.ts';
import { until } from '../support/processes.ts';
import { withNode } from '../unit/model-observations.ts';
import { type Bench, failureOf, progressOf, startBench, type World } from './bench.ts';

/** PENDING_ACTIVITY_STATE_CANCEL_REQUESTED */
const CANCEL_REQUESTED = 3;

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const standing = async (changes = {}) => {
  const world = bench.world(changes);
  await bench.execute(world, 'provision');
  world.calls.length = 0;
  return world;
};
const backingUp = (world: World, more: object = {}) => bench.execute(world, 'backup', { cluster: world.spec.name, ...more });
const objectsOf = ({ spec }: World) => bench.objects(backupKeys.backups(spec.name));
const list = (world: World) => bench.read<readonly BackupSummary[]>(world, 'listBackups', {});
const lockOf = async (world: World) => (await bench.client.workflow.getHandle(lockWorkflowId(world.spec.name)).describe()).status.name;
const names = (world: World) => world.calls.map((call) => call.split(' ')[0]);
/** Its replica has lost its primary. */
const cutOffReplica = (world: World, shard: number) => {
  world.distort = (seen) => withNode(seen, `${world.spec.name}-${shard}-1`, { replication: { offset: 0, linkUp: false, replicas: 0 } });
};

describe('a backup', () => {
  test('stores every shard from its replica, commits when all are there, and is verified when all were loaded', async () => {
    const world = await standing();
    const result = await backingUp(world, { label: 'before the upgrade', keepUntil: '2027-01-01T00:00:00+01:00' });
    expect(result).toMatchObject({ outcome: 'done', backup: { shards: 3, keys: 163_840, verified: true, how: 'loaded' } });
    const [first, ...others] = await list(world);
    expect(others).toEqual([]);
    expect(first).toMatchObject({ id: result.backup?.id, label: 'before the upgrade', keys: 163_840, proof: { how: 'loaded' } });
    const manifest = await bench.read<BackupManifest>(world, 'showBackup', { backup: result.backup?.id });
    expect(manifest).toMatchObject({ keepUntil: '2026-12-31T23:00:00.000Z', generation: 1, spec: { name: world.spec.name } });
    expect(manifest.shards.map(({ node }) => node)).toEqual([0, 1, 2].map((shard) => `${world.spec.name}-${shard}-1`));
    expect(manifest.verified?.shards.map(({ keys }) => keys)).toEqual(manifest.shards.map(({ keys }) => keys));
    const order = names(world);
    expect(order.lastIndexOf('backUpShard')).toBeLessThan(order.indexOf('commitBackup'));
    expect(order.indexOf('commitBackup')).toBeLessThan(order.indexOf('verifyShard'));
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('whose bytes were only read again is not called verified', async () => {
    const world = await standing();
    expect(await backingUp(world, { verify: 'checksum' })).toMatchObject({ outcome: 'done', backup: { verified: false, how: 'opened' } });
    expect(await list(world)).toMatchObject([{ proof: { how: 'opened' } }]);
  });

  test('that is only planned stores nothing', async () => {
    const world = await standing();
    const { outcome, plan } = await backingUp(world, { dryRun: true });
    expect(outcome).toBe('planned');
    expect(plan.steps[0]).toMatchObject({ name: 'back up shard 0', change: expect.stringContaining(`${world.spec.name}-0-1, a replica`) });
    expect(names(world)).not.toContain('backUpShard');
    expect(await objectsOf(world)).toEqual([]);
  });

  test('is refused where a shard has no healthy replica, and reads the primary when it is told to', async () => {
    const world = await standing();
    cutOffReplica(world, 1);
    const { type, message } = await failureOf(backingUp(world));
    expect(type).toBe(failures.refused);
    expect(message).toMatch(/shard 1 has no healthy replica.*--from-primary/);
    expect(await backingUp(world, { fromPrimary: true })).toMatchObject({ outcome: 'done' });
    const [made] = await list(world);
    const { shards } = await bench.read<BackupManifest>(world, 'showBackup', { backup: made?.id });
    expect(shards.map(({ node }) => node.slice(-1))).toEqual(['1', '0', '1']);
  });

  test('is refused while slots are open', async () => {
    const world = await standing();
    world.distort = (seen) => withNode(seen, `${world.spec.name}-0-0`, { openSlots: ['[1->-a]'] });
    expect((await failureOf(backingUp(world))).message).toContain(`holdfast repair ${world.spec.name}`);
  });

  test('of which one shard fails leaves nothing: the others are cancelled, and there is no manifest', async () => {
    const world = await standing();
    const hold = Promise.withResolvers<void>();
    let others = 0;
    world.before('backUpShard', async ([request]) => {
      if ((request as { shard: number }).shard === 1)
        throw ApplicationFailure.nonRetryable('the disk of the bucket is full', failures.storeUnreachable);
      others++;
      hold.resolve();
    });
    const { type, message } = await failureOf(backingUp(world));
    await hold.promise;
    expect([type, message]).toEqual([failures.storeUnreachable, expect.stringContaining('the disk of the bucket is full')]);
    expect(others).toBeLessThan(3);
    expect(await objectsOf(world)).toEqual([]);
    expect(names(world)).not.toContain('commitBackup');
    expect(await list(world)).toEqual([]);
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('that is cancelled while it stores leaves nothing', async () => {
    const world = await standing();
    const hold = world.hold('backUpShard');
    const handle = await bench.start(world, 'backup');
    await hold.reached;
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect(await objectsOf(world)).toEqual([]);
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('that is cancelled while an attempt is about to fail is cancelled, and has not failed', async () => {
    const world = await standing();
    const [begun, cancelled] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    world.before('backUpShard', async () => {
      begun.resolve();
      await cancelled.promise;
      throw new Error('the store answers 503');
    });
    const handle = await bench.start(world, 'backup');
    await begun.promise;
    await handle.cancel();
    await until('the server has asked the attempt to stop', async () =>
      (await handle.describe()).raw.pendingActivities?.some(({ state }) => state === CANCEL_REQUESTED),
    );
    cancelled.resolve();
    await expect(handle.result()).rejects.toThrow();
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect(await objectsOf(world)).toEqual([]);
  });

  test('that is cancelled while it is verified stays, unverified, and no server of it is left', async () => {
    const world = await standing();
    const hold = world.hold('verifyShard');
    const handle = await bench.start(world, 'backup');
    await hold.reached;
    world.scratches.add(0);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect((await list(world)).map(({ proof }) => proof)).toEqual([undefined]);
    expect([...world.scratches]).toEqual([]);
    expect(await objectsOf(world)).toHaveLength(5);
  });

  test('that turns out damaged stays, is told, and is not shown as verified', async () => {
    const world = await standing();
    world.damaged.add(2);
    const { type, message } = await failureOf(backingUp(world));
    expect(type).toBe(failures.objectDamaged);
    expect(message).toMatch(/verify shard 2.*\n.*stays, and is not shown as verified/s);
    expect((await list(world)).map(({ proof }) => proof)).toEqual([undefined]);
    expect([...world.scratches]).toEqual([]);
  });

  test('whose slots moved while it was stored is thrown away', async () => {
    const world = await standing();
    world.before('backUpAcl', () => {
      world.owners[0] = 1;
    });
    expect(await failureOf(backingUp(world))).toMatchObject({
      type: failures.backupNotGood,
      message: expect.stringContaining('shard 0, 1'),
    });
    expect(await objectsOf(world)).toEqual([]);
  });

  test('goes shard by shard when it may take only one at once', async () => {
    const world = await standing();
    let [now, most] = [0, 0];
    world.before('backUpShard', async () => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 50));
      now--;
    });
    await backingUp(world, { shardsAtOnce: 1 });
    expect(most).toBe(1);
  });

  test('waits for an approval when it is asked to, and does nothing when it is rejected', async () => {
    const world = await standing();
    const handle = await bench.start(world, 'backup', { cluster: world.spec.name, approval: {} });
    await progressOf(handle, ({ stage }) => stage === 'approval');
    await handle.executeUpdate('reject', { args: [{ by: 'a test' }] });
    expect((await failureOf(handle.result())).type).toBe(failures.rejected);
    expect(await objectsOf(world)).toEqual([]);
  });
});

describe('a backup that is verified again', () => {
  const verify = (world: World, more: object = {}) =>
    bench.execute(world, 'verifyBackup', { cluster: world.spec.name, backup: 'latest', ...more });
  const stored = async (changes = {}) => {
    const world = await standing(changes);
    await backingUp(world, { verify: 'checksum' });
    world.calls.length = 0;
    return world;
  };

  test('and loads is called verified, also when its cluster is gone', async () => {
    const world = await stored();
    await bench.execute(world, 'deprovision', { cluster: world.spec.name, confirm: world.spec.name });
    const [made] = await list(world);
    expect(await verify(world)).toMatchObject({ outcome: 'done', backup: { id: made?.id, verified: true, how: 'loaded' } });
    expect(await list(world)).toMatchObject([{ proof: { how: 'loaded' } }]);
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('and is damaged is shown as that, until it is found intact', async () => {
    const world = await stored();
    await verify(world);
    world.damaged.add(1);
    const { type, message } = await failureOf(verify(world, { verify: 'checksum' }));
    expect([type, message]).toEqual([failures.objectDamaged, expect.stringMatching(/stays, and is not shown as verified but as damaged/)]);
    const [shown] = await list(world);
    expect(shown?.proof).toBeUndefined();
    expect(shown?.damaged).toMatchObject({ type: failures.objectDamaged, why: expect.stringContaining('frame 0 does not open') });
    expect([...world.scratches]).toEqual([]);
    world.damaged.clear();
    // The bytes are those that a server has loaded before.
    expect(await verify(world, { verify: 'checksum' })).toMatchObject({ backup: { verified: true, how: 'opened' } });
    expect((await list(world))[0]?.damaged).toBeUndefined();
  });

  test('on a host that is too small stays what it was', async () => {
    const world = await stored();
    await verify(world);
    world.before('verifyShard', () => {
      throw ApplicationFailure.nonRetryable('not enough memory', failures.hostFull);
    });
    const { type, message } = await failureOf(verify(world));
    expect([type, message]).toEqual([failures.hostFull, expect.stringContaining('is shown as verified as before')]);
    expect(await list(world)).toMatchObject([{ proof: { how: 'loaded' } }]);
  });

  test('and is only planned is not read', async () => {
    const world = await stored();
    const { outcome, plan } = await verify(world, { dryRun: true });
    expect([outcome, plan.steps.map(({ name }) => name)]).toEqual([
      'planned',
      ['verify shard 0', 'verify shard 1', 'verify shard 2', 'record the verification'],
    ]);
    expect(names(world)).not.toContain('verifyShard');
  });

  test('while it is cancelled leaves no server, and stays what it was', async () => {
    const world = await stored();
    const hold = world.hold('verifyShard');
    const handle = await bench.start(world, 'verifyBackup', { cluster: world.spec.name, backup: 'latest' });
    await hold.reached;
    world.scratches.add(0);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect([...world.scratches]).toEqual([]);
    expect(await list(world)).toMatchObject([{ proof: { how: 'opened' } }]);
  });

  test('but does not exist is told as that', async () => {
    expect(await failureOf(verify(await standing()))).toMatchObject({
      type: failures.backupNotFound,
      message: expect.stringContaining('holdfast backup create'),
    });
  });
});

test('a backup that is not there is told as that', async () => {
  const world = await standing();
  expect(await failureOf(bench.read(world, 'showBackup', { backup: '20261121T091700Z-0123abcd' }))).toMatchObject({
    type: failures.backupNotFound,
    message: expect.stringContaining(`holdfast backup list ${world.spec.name}`),
  });
  expect(await list(world)).toEqual([]);
});
