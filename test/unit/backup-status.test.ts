import { describe, expect, test } from 'vitest';
import { readBackupStatus } from '../../activities/backup/backup-status.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { backupKeys } from '../../config/names.ts';
import { type ScheduleStatus, scheduleOf } from '../../config/schedules.ts';
import type { BackupStatus, StatusReport } from '../../config/status.ts';
import { assessBackups } from '../../model/backup-findings.ts';
import { planRotate } from '../../model/plan-rotate.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { renderPlan } from '../../starter/cli/view/plan-view.ts';
import { backupLines } from '../../starter/cli/view/status-view.ts';
import { manifestOf } from '../support/manifests.ts';
import { memoryStore } from '../support/memory-store.ts';

const NOW = Date.parse('2026-11-21T13:00:00Z');
const HOUR_MS = 3_600_000;
const spec = clusterSpec.parse({ name: 'orders', engine: 'valkey', version: '9.1' });
const at = (agoHours: number) => new Date(NOW - agoHours * HOUR_MS).toISOString();
const backupOf = (agoHours: number) => ({ id: `20261121T000000Z-${String(agoHours).padStart(8, '0')}`, startedAt: at(agoHours) });
const schedule = (more: Partial<ScheduleStatus> = {}): ScheduleStatus => ({
  madeFrom: scheduleOf(spec),
  createdAt: at(1000),
  nextAt: at(-14),
  longestGapMs: 24 * HOUR_MS,
  missed: 0,
  skipped: 0,
  ...more,
});
const statusOf = (more: Partial<BackupStatus> = {}): BackupStatus => ({
  schedule: schedule(),
  backups: 1,
  newest: backupOf(10),
  newestVerified: backupOf(10),
  unknown: [],
  ...more,
});
const codes = (status: BackupStatus, of = spec) => assessBackups(of, status, NOW).map(({ severity, code }) => `${severity} ${code}`);

describe('a status finds', () => {
  test('nothing where backups come as the schedule promises', () => {
    expect(codes(statusOf())).toEqual([]);
    expect(codes(statusOf({ newestVerified: backupOf(25) }))).toEqual([]);
  });

  test('a newest verified backup that is older than the schedule promises, however new an unverified one is', () => {
    expect(codes(statusOf({ newest: backupOf(1), newestVerified: backupOf(26) }))).toEqual(['warning backup-old']);
    expect(codes(statusOf({ newestVerified: backupOf(26), schedule: schedule({ longestGapMs: 72 * HOUR_MS }) }))).toEqual([]);
  });

  test('that a new cluster has no verified backup when its first run should have made one, and not before', () => {
    const none: BackupStatus = { schedule: schedule({ createdAt: at(3) }), backups: 0, unknown: [] };
    expect(codes(none)).toEqual([]);
    expect(codes({ ...none, schedule: schedule({ createdAt: at(30) }) })).toEqual(['warning backup-old']);
  });

  test('a schedule that is missing, paused by hand, of another spec, or whose last run failed', () => {
    expect(codes(statusOf({ schedule: null }))).toEqual(['warning backup-schedule-missing']);
    expect(codes(statusOf({ schedule: schedule({ madeFrom: { ...scheduleOf(spec), paused: true } }) }))).toEqual([
      'warning backup-schedule-paused',
    ]);
    expect(codes(statusOf({ schedule: schedule({ madeFrom: { ...scheduleOf(spec), schedule: '0 5 * * *' } }) }))).toEqual([
      'warning backup-schedule-differs',
    ]);
    const lastRun = { workflowId: 'w', at: at(10), outcome: 'failed', reason: 'backup: the disk is full' } as const;
    expect(codes(statusOf({ schedule: schedule({ lastRun }) }))).toEqual(['warning backup-run-failed']);
  });

  test('nothing where backups are switched off, and only a word where nobody answers', () => {
    const off = clusterSpec.parse({ ...spec, backup: { enabled: false } });
    expect(codes({ backups: 0, schedule: null, unknown: [] }, off)).toEqual([]);
    expect(codes({ unknown: ['its backups: ECONNREFUSED', 'its schedule: no answer in 4 s'] })).toEqual([
      'info backups-unknown',
      'info backups-unknown',
    ]);
  });
});

const noSchedule = {
  schedule: { getHandle: () => ({ describe: () => Promise.reject(new Error('UNAVAILABLE')) }) },
} as unknown as Parameters<typeof readBackupStatus>[0];

test('what is stored is told when the schedule cannot be asked, and the other way round', async () => {
  const away = { ...memoryStore(), list: () => Promise.reject(new Error('ECONNREFUSED')) };
  expect(await readBackupStatus(noSchedule, memoryStore(), 'orders')).toEqual({
    backups: 0,
    unknown: ['its schedule: UNAVAILABLE'],
  });
  expect(await readBackupStatus(noSchedule, away, 'orders')).toEqual({
    unknown: ['its schedule: UNAVAILABLE', 'its backups: ECONNREFUSED'],
  });
});

test('a verified backup is told of behind any number of others that nobody could verify', async () => {
  const store = memoryStore();
  const [verified, ...others] = Array.from({ length: 100 }, (_, hour) =>
    manifestOf(NOW - (100 - hour) * HOUR_MS, { how: hour === 0 ? 'loaded' : 'none' }),
  );
  for (const manifest of [verified, ...others]) {
    if (manifest === undefined) continue;
    await store.put(backupKeys.manifest('orders', manifest.id), JSON.stringify(manifest));
    for (const { key } of manifest.shards) await store.put(key, 'sealed');
  }
  expect(await readBackupStatus(noSchedule, store, 'orders')).toMatchObject({
    backups: 100,
    newest: { id: others.at(-1)?.id },
    newestVerified: { id: verified?.id },
  });
});

test('the screen tells how old the newest verified backup is, and how the schedule does', () => {
  const lineOf = (backups: BackupStatus | undefined) =>
    backupLines({ observedAt: at(0), ...(backups === undefined ? {} : { backups }) } as StatusReport, createStyle(false)).join('\n');
  expect(lineOf(statusOf())).toMatch(/backups {2}newest verified 2026\S+, 10h.* old; next 2026-11-2/);
  expect(lineOf(statusOf({ newest: backupOf(1) }))).toMatch(/; newest 2026\S+, not verified; next/);
  const failed = schedule({ lastRun: { workflowId: 'w', at: at(1), outcome: 'failed' }, missed: 2, skipped: 1 });
  expect(lineOf({ schedule: failed, backups: 0, unknown: [] })).toMatch(/none stored; next .*, last run failed, 2 missed, 1 skipped/);
  expect(lineOf({ unknown: ['x'] })).toMatch(/nobody answered what is stored; no schedule/);
  expect(lineOf(undefined)).toMatch(/nobody answered/);
});

test('a plan shows which backups go and why the others stay, and names the others only by their digest when they are many', () => {
  const rows = Array.from({ length: 30 }, (_, day) => ({
    id: `202611${String(30 - day).padStart(2, '0')}T030000Z-00000000`,
    proof: 'loaded' as const,
    stays: day < 2,
    why: [day < 2 ? 'the newest verified of 2026-11-30' : 'no rule keeps it'],
  }));
  const orphans = { folders: [], objects: [], uploads: [{ key: 'backups/orders/x', uploadId: '1' }] };
  const plan = planRotate({ cluster: 'orders', exists: true, rows, cuts: [], orphans });
  expect(plan.steps.map(({ name }) => name)).toEqual(['remove backups', 'remove what nobody owns', 'look for those that stay']);
  expect(plan.steps[0]?.change).toMatch(/^28 backups, .* and 8 more \([0-9a-f]{8}\)$/);
  const other = planRotate({ cluster: 'orders', exists: true, rows: rows.toSpliced(5, 1), cuts: [], orphans });
  expect(other.steps[0]?.change).not.toBe(plan.steps[0]?.change);
  const screen = renderPlan(plan, false, createStyle(false));
  expect(screen).toMatch(/20261130T030000Z-00000000 +\S+ \S+ +verified +stays +the newest verified of 2026-11-30/);
  expect(screen).toMatch(/20261101T030000Z-00000000 +\S+ \S+ +verified +goes +no rule keeps it/);
});

test('more backups than one rotation may remove are left for the next one, the newest of them', () => {
  const rows = Array.from({ length: 1200 }, (_, at) => ({ id: String(2000 - at), stays: false, why: [] }));
  const { going, summary } = planRotate({
    cluster: 'orders',
    exists: true,
    rows,
    cuts: [],
    orphans: { folders: [], objects: [], uploads: [] },
  });
  expect([going.length, going[0]]).toEqual([1000, '801']);
  expect(summary).toMatch(/200 more go the next time/);
});
