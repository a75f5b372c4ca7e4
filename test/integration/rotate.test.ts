import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { backupKeys, backupScheduleId, scheduledBackupWorkflowId } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { exitCodes } from '../../starter/cli/exit-codes.ts';
import { piped } from '../cli/piped.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { ask, refusal } from './ask.ts';

let stack: Stack;
const spec = testSpec(uniqueName(), {
  mode: 'sentinel',
  security: { tls: false, users: [{ name: 'app' }] },
  backup: { schedule: '0 4 * * *', retention: { daily: 1, weekly: 0, monthly: 0 } },
});
const cluster = spec.name;

beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec });
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack?.stop();
});

const list = () => ask<readonly BackupSummary[]>(stack, 'listBackups', { cluster });
const status = () => ask<StatusReport>(stack, 'status', { cluster });
const schedule = () => stack.client.schedule.getHandle(backupScheduleId(cluster));
const cli = (...args: readonly string[]) => piped(['backup', ...args], { env: stack.env });

/** Starts the schedule's run now, and waits for its end. */
async function runSchedule(): Promise<{ readonly backup: string; readonly rotation: string }> {
  const before = (await schedule().describe()).info.numActionsTaken;
  await schedule().trigger();
  let id = '';
  await until('the schedule has started a run', async () => {
    const { info } = await schedule().describe();
    id = info.recentActions.at(-1)?.action.workflow.workflowId ?? '';
    return info.numActionsTaken > before;
  });
  expect(id).toMatch(new RegExp(`^${scheduledBackupWorkflowId(cluster)}-20`));
  return stack.client.workflow.getHandle(id).result() as Promise<{ backup: string; rotation: string }>;
}

describe('the schedule that provision made', () => {
  test('backs up, verifies and rotates in one run', async () => {
    const { spec: when, policies, state } = await schedule().describe();
    expect(policies).toMatchObject({ overlap: 'SKIP', catchupWindow: 3_600_000, pauseOnFailure: false });
    expect([when.jitter, state.paused]).toEqual([600_000, false]);
    await runSchedule();
    const [first] = await list();
    expect(first?.proof?.how).toBe('loaded');
    expect((await status()).backups).toMatchObject({
      backups: 1,
      newestVerified: { id: first?.id },
      schedule: { lastRun: { outcome: 'done' } },
    });
    await sleep(1000); // ids count seconds
    expect((await runSchedule()).rotation).toMatch(/1 backup of 2 goes, 1 stays/);
    const [second, ...others] = await list();
    expect(others).toEqual([]);
    expect(second?.id).not.toBe(first?.id);
    const keys = await stack.dependencies.store.list(backupKeys.backups(cluster));
    expect(keys.every((key) => key.startsWith(backupKeys.backup(cluster, second?.id ?? '')))).toBe(true);
    const { journal, findings } = await status();
    expect(journal.slice(-4).map(({ operation, outcome, reason }) => [operation, outcome, reason])).toEqual([
      ['backup', 'done', 'scheduled'],
      ['rotate', 'unchanged', 'scheduled'],
      ['backup', 'done', 'scheduled'],
      ['rotate', 'done', 'scheduled'],
    ]);
    expect(journal.at(-1)?.by).toMatch(scheduledBackupWorkflowId(cluster));
    expect(findings).toEqual([]);
  });

  test('is changed and paused by configure, and shown by status', async () => {
    const changed = { ...spec, backup: { ...spec.backup, schedule: '30 2 * * mon-fri', timezone: 'Europe/Berlin', enabled: false } };
    const { plan } = await ask<OperationResult>(stack, 'configure', { spec: changed });
    expect(plan.steps.map(({ name }) => name)).toEqual(['schedule backups', 'hand the spec to the keeper']);
    expect((await schedule().describe()).state.paused).toBe(true);
    expect((await piped(['status', cluster], { env: stack.env })).stdout).toMatch(/backups +newest verified .*schedule paused/);
    await ask(stack, 'configure', { spec: { ...changed, backup: { ...changed.backup, enabled: true } } });
    const { state, spec: when, info } = await schedule().describe();
    expect([state.paused, when.timezone]).toEqual([false, 'Europe/Berlin']);
    expect(info.nextActionTimes.length).toBeGreaterThan(3);
    const { backups } = await status();
    expect(backups?.schedule?.longestGapMs).toBeGreaterThan(2 * 86_400_000);
  });
});

test('from the command line a rotation shows what goes and why, removes that, and leaves what is held', async () => {
  const [held] = await list();
  expect(await cli('hold', cluster, held?.id ?? '')).toMatchObject({ code: exitCodes.usage, stderr: expect.stringMatching(/say why/) });
  expect(await cli('hold', cluster, held?.id ?? '', '--reason', 'the audit of 2026')).toMatchObject({ code: 0 });
  await ask(stack, 'backup', { cluster });
  await sleep(1000);
  await ask(stack, 'backup', { cluster });
  const dry = await cli('rotate', cluster, '--dry-run');
  expect(dry.stdout).toMatch(/1 backup of 3 goes, 2 stay/);
  expect(dry.stdout).toMatch(new RegExp(`${held?.id}.* stays +.*held by .*: the audit of 2026`));
  expect(dry.stdout).toMatch(/verified +goes +no rule keeps it/);
  expect(await list()).toHaveLength(3);
  expect(await cli('rotate', cluster, '--yes')).toMatchObject({ code: 0 });
  expect((await list()).map(({ held: is }) => is)).toEqual([false, true]);
  expect(await cli('release', cluster, held?.id ?? '')).toMatchObject({ code: 0 });
  expect(await ask<BackupManifest>(stack, 'showBackup', { cluster, backup: held?.id })).not.toHaveProperty('hold');
});

test('a cluster that is gone has no schedule any more, and its backups can still be rotated', async () => {
  await stack.dependencies.store.put(`${backupKeys.backup(cluster, '20260101T000000Z-00000000')}shard-0.00000000.rdb.sealed`, 'left over');
  const { summary } = await ask<OperationResult>(stack, 'deprovision', { cluster, confirm: cluster, force: true });
  expect(summary).toMatch(new RegExp(`2 backups stay in the bucket: holdfast backup list ${cluster}`));
  await expect(schedule().describe()).rejects.toThrow(/not found/i);
  const { summary: rotated, plan } = await ask<OperationResult>(stack, 'rotate', { cluster, graceSeconds: 0 });
  expect(rotated).toMatch(/1 backup of 2 goes, 1 stays/);
  expect(plan.steps.map(({ name }) => name)).toContain('remove what nobody owns');
  expect(await list()).toHaveLength(1);
  expect(await stack.dependencies.store.list(backupKeys.backup(cluster, '20260101T000000Z-00000000'))).toEqual([]);
  expect(await ask(stack, 'rotate', { cluster })).toMatchObject({ outcome: 'unchanged' });
  expect((await piped(['status', cluster], { env: stack.env })).stdout).toMatch(/1 backup of it is stored/);
  expect((await refusal(ask(stack, 'rotate', { cluster: 'never-was-there' }))).type).toBe('ClusterNotFound');
});
