import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import {
  backupKeys,
  backupScheduleId,
  drillName,
  lockWorkflowId,
  scheduledBackupWorkflowId,
  WORKFLOW_TASK_QUEUE,
} from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { withNode } from '../unit/model-observations.ts';
import { type Bench, failureOf, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const RETENTION = { daily: 1, weekly: 0, monthly: 0 };
const standing = async (backups: number, changes = {}) => {
  const world = bench.world({ backup: { retention: RETENTION }, ...changes });
  await bench.execute(world, 'provision');
  const ids: string[] = [];
  for (let made = 0; made < backups; made++) ids.push((await bench.execute(world, 'backup')).backup?.id ?? '');
  world.calls.length = 0;
  return { world, ids: ids.toSorted() };
};
const list = async (world: World) => (await bench.read<readonly BackupSummary[]>(world, 'listBackups')).map(({ id }) => id);
const rotate = (world: World, more: object = {}) => bench.execute(world, 'rotate', { cluster: world.spec.name, ...more });
const hold = (world: World, backup: string, more: object = {}) =>
  bench.execute(world, 'hold', { cluster: world.spec.name, backup, ...more });
const lockOf = async (world: World) => (await bench.client.workflow.getHandle(lockWorkflowId(world.spec.name)).describe()).status.name;
const schedule = ({ spec }: World) => bench.client.schedule.getHandle(backupScheduleId(spec.name));

describe('a rotation', () => {
  test('removes what it has shown, and a second one finds nothing to do', async () => {
    const { world, ids } = await standing(3);
    const dry = await rotate(world, { dryRun: true });
    expect(dry.plan.backups?.map(({ id, stays }) => [id, stays]).toSorted()).toHaveLength(3);
    expect(await list(world)).toHaveLength(3);
    const done = await rotate(world, { planDigest: dry.plan.digest });
    expect(done).toMatchObject({ outcome: 'done', summary: `${world.spec.name}: 2 backups of 3 go, 1 stays` });
    const [left, ...others] = await list(world);
    expect([others, ids.includes(left ?? '')]).toEqual([[], true]);
    expect(await bench.objects(backupKeys.backups(world.spec.name))).toHaveLength(5);
    expect(await rotate(world)).toMatchObject({ outcome: 'unchanged' });
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('whose plan has changed since it was shown does nothing', async () => {
    const { world } = await standing(2);
    const dry = await rotate(world, { dryRun: true });
    await bench.execute(world, 'backup');
    expect((await failureOf(rotate(world, { planDigest: dry.plan.digest }))).type).toBe(failures.refused);
    expect(await list(world)).toHaveLength(3);
  });

  test('goes on when the bucket fails in the middle', async () => {
    const { world } = await standing(3);
    let failing = 2;
    world.before('removeBackups', () => {
      if (failing-- > 0) throw new Error('503');
    });
    expect(await rotate(world)).toMatchObject({ outcome: 'done' });
    expect(await list(world)).toHaveLength(1);
  });

  test('that is cancelled leaves each backup whole or gone, and the lock free', async () => {
    const { world } = await standing(2);
    const holding = world.hold('removeBackups');
    const handle = await bench.start(world, 'rotate');
    await holding.reached;
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect(await list(world)).toHaveLength(2);
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('waits for another one that holds the lock, and both together remove no more than one', async () => {
    const { world } = await standing(3);
    await Promise.all([rotate(world, { whenBusy: 'wait' }), rotate(world, { whenBusy: 'wait' })]);
    expect(await list(world)).toHaveLength(1);
  });

  test('of a cluster that is gone goes by the spec of its newest backup; of one that never was it says so', async () => {
    const { world } = await standing(2);
    await bench.execute(world, 'deprovision', { cluster: world.spec.name, confirm: world.spec.name, force: true });
    expect(await rotate(world)).toMatchObject({ outcome: 'done', summary: expect.stringContaining('1 backup of 2 goes, 1 stays') });
    const other = bench.world();
    expect((await failureOf(rotate(other))).type).toBe(failures.clusterNotFound);
  });
});

describe('a hold', () => {
  test('keeps a backup until it is released, and says who and why', async () => {
    const { world, ids } = await standing(2);
    for (const id of ids) expect(await hold(world, id, { reason: 'audit' })).toMatchObject({ outcome: 'done' });
    const manifest = await bench.read<BackupManifest>(world, 'showBackup', { backup: ids[0] });
    expect(manifest.hold).toMatchObject({ reason: 'audit', by: expect.stringMatching(/./) });
    expect(await rotate(world)).toMatchObject({ outcome: 'unchanged' });
    expect(await hold(world, ids[0] ?? '', { reason: 'another' })).toMatchObject({ outcome: 'unchanged' });
    for (const id of ids) expect(await hold(world, id, { held: false })).toMatchObject({ outcome: 'done' });
    expect(await hold(world, ids[0] ?? '', { held: false })).toMatchObject({ outcome: 'unchanged' });
    expect(await rotate(world)).toMatchObject({ outcome: 'done' });
    expect(await list(world)).toHaveLength(1);
  });

  test('wants a reason, and a backup that is there', async () => {
    const { world, ids } = await standing(1);
    expect((await failureOf(hold(world, ids[0] ?? ''))).message).toMatch(/say why it is held/);
    expect((await failureOf(hold(world, '20200101T000000Z-00000000', { reason: 'x' }))).type).toBe(failures.backupNotFound);
  });
});

describe('a scheduled run', () => {
  const run = (world: World) =>
    bench.client.workflow.start('scheduledBackup', {
      workflowId: `${scheduledBackupWorkflowId(world.spec.name)}-${Math.random()}`,
      taskQueue: WORKFLOW_TASK_QUEUE,
      args: [{ cluster: world.spec.name }],
    });

  test('backs up as the spec says and rotates; the journal names it', async () => {
    const { world } = await standing(1, { backup: { verify: 'load', retention: RETENTION } });
    expect(await (await run(world)).result()).toMatchObject({
      backup: expect.stringContaining('loaded by a server'),
      rotation: expect.stringContaining('1 stays'),
    });
    const { journal } = await bench.read<StatusReport>(world, 'status');
    expect(
      journal.slice(-2).map(({ operation, by, reason }) => [operation, by.startsWith(scheduledBackupWorkflowId(world.spec.name)), reason]),
    ).toEqual([
      ['backup', true, 'scheduled'],
      ['rotate', true, 'scheduled'],
    ]);
  });

  test('reads the primaries of a cluster without replicas', async () => {
    const { world } = await standing(0, { replicasPerShard: 0 });
    expect(await (await run(world)).result()).toMatchObject({ backup: expect.stringContaining('loaded by a server') });
    expect(await list(world)).toHaveLength(1);
  });

  test('fails where a shard has no healthy replica, unless the spec lets it read the primary', async () => {
    const cutOff = async (backup: object) => {
      const { world } = await standing(0, { backup });
      world.distort = (seen) => withNode(seen, `${world.spec.name}-1-1`, { replication: { offset: 0, linkUp: false, replicas: 0 } });
      return run(world);
    };
    expect((await failureOf((await cutOff({})).result())).message).toMatch(
      /^backup: .*shard 1 has no healthy replica.*backup\.fromPrimary/s,
    );
    expect(await (await cutOff({ fromPrimary: true })).result()).toMatchObject({ backup: expect.stringContaining('loaded by a server') });
  });

  test('waits while another operation holds the cluster', async () => {
    const { world } = await standing(0);
    const holding = world.hold('verifyShard');
    const first = await bench.start(world, 'backup');
    await holding.reached;
    const scheduled = await run(world);
    holding.release();
    await Promise.all([first.result(), scheduled.result()]);
    expect(await list(world)).toHaveLength(1);
  });

  test('drills when the last drill is long ago, and not with every run', async () => {
    const { world } = await standing(0, { backup: { drillEveryDays: 7, retention: RETENTION } });
    const scratch = bench.world({ name: drillName(world.spec.name), replicasPerShard: 0 });
    expect(await (await run(world)).result()).toMatchObject({ drill: expect.stringContaining('came back with') });
    expect((await bench.read<StatusReport>(world, 'status')).drill).toMatchObject({ ok: true });
    expect([...scratch.containers]).toEqual([]);
    expect(await (await run(world)).result()).not.toHaveProperty('drill');
  });

  test('rotates nothing when its backup failed, and says why', async () => {
    const { world } = await standing(2);
    world.before('backUpShard', () => {
      throw ApplicationFailure.nonRetryable('the disk of the bucket is full', failures.storeUnreachable);
    });
    expect((await failureOf((await run(world)).result())).message).toMatch(/^backup: .*the disk of the bucket is full/);
    expect(await list(world)).toHaveLength(2);
  });
});

describe('the schedule', () => {
  test('is made by provision, found by a second one, and goes with the cluster', async () => {
    const { world } = await standing(0);
    expect((await schedule(world).describe()).state.paused).toBe(false);
    expect(await bench.execute(world, 'provision')).toMatchObject({ outcome: 'unchanged' });
    await schedule(world).pause('by hand');
    const { findings } = await bench.read<StatusReport>(world, 'status');
    expect(findings.map(({ code }) => code)).toEqual(['backup-schedule-paused']);
    const again = await bench.execute(world, 'provision');
    expect(again.plan.steps.map(({ name }) => name)).toEqual(['schedule backups']);
    expect((await schedule(world).describe()).state.paused).toBe(false);
    await schedule(world).delete();
    expect((await bench.read<StatusReport>(world, 'status')).findings.map(({ code }) => code)).toEqual(['backup-schedule-missing']);
    await bench.execute(world, 'provision');
    const { plan } = await bench.execute(world, 'deprovision');
    expect(plan.steps[0]?.name).toBe('remove the schedule');
    await expect(schedule(world).describe()).rejects.toThrow(/not found/i);
  });

  test('that a new cluster was given is removed when its provision fails', async () => {
    const world = bench.world();
    world.before('acceptSpec', () => {
      throw ApplicationFailure.nonRetryable('no', failures.storeUnreachable);
    });
    await failureOf(bench.execute(world, 'provision'));
    await expect(schedule(world).describe()).rejects.toThrow(/not found/i);
  });

  test('follows the spec, and the former one when its change fails', async () => {
    const { world } = await standing(0);
    const spec = { ...world.spec, backup: { ...world.spec.backup, schedule: '15 1 * * sun', enabled: false } };
    world.before('acceptSpec', () => {
      world.befores.delete('acceptSpec');
      throw ApplicationFailure.nonRetryable('no', failures.storeUnreachable);
    });
    await failureOf(bench.execute(world, 'configure', { spec }));
    expect((await schedule(world).describe()).state.paused).toBe(false);
    const { plan } = await bench.execute(world, 'configure', { spec });
    expect(plan.steps[0]).toMatchObject({ name: 'schedule backups', change: expect.stringMatching(/"15 1 \* \* sun" \(UTC\).*paused/) });
    expect((await schedule(world).describe()).state).toMatchObject({ paused: true });
  });
});
