import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { BackupManifest } from '../../config/backup.ts';
import type { RotationRow } from '../../config/rotation.ts';
import { isoWeek, type RetentionRules, retain } from '../../model/recovery/retention.ts';
import { CLUSTER_ID, DAY_MS, manifestOf } from '../support/manifests.ts';

const NOW = Date.parse('2026-11-21T13:00:00Z');
const rulesOf = (more: Partial<RetentionRules> = {}): RetentionRules => ({
  retention: { daily: 7, weekly: 4, monthly: 12, minimum: 1 },
  asked: 'load',
  graceMs: DAY_MS,
  nowMs: NOW,
  needed: new Map(),
  ...more,
});
const staying = (rows: readonly RotationRow[]) => new Set(rows.filter(({ stays }) => stays).map(({ id }) => id));
const left = (backups: readonly BackupManifest[], rows: readonly RotationRow[]) => backups.filter(({ id }) => staying(rows).has(id));
const isLoaded = ({ verified }: BackupManifest) => verified?.how === 'loaded';
const takenAt = ({ startedAt }: BackupManifest) => Date.parse(startedAt);
const newestOf = (backups: readonly BackupManifest[]) => backups.toSorted((a, b) => takenAt(b) - takenAt(a) || (a.id < b.id ? 1 : -1))[0];

/** Up to four years of backups, some each day, some weeks without any; some are unverified, held, to be kept, or of an earlier cluster. */
const history = fc
  .array(
    fc.record({
      agoMinutes: fc.integer({ min: 0, max: 4 * 365 * 1440 }),
      recent: fc.boolean(),
      how: fc.constantFrom('loaded', 'loaded', 'loaded', 'opened', 'none'),
      held: fc.integer({ min: 0, max: 30 }),
      keepDays: fc.integer({ min: -20, max: 20 }),
      earlier: fc.integer({ min: 0, max: 6 }),
    }),
    { maxLength: 120 },
  )
  .map((all) =>
    all.map(({ agoMinutes, recent, how, held, keepDays, earlier }) =>
      manifestOf(NOW - (recent ? agoMinutes % (20 * 1440) : agoMinutes) * 60_000, {
        how: how as 'loaded' | 'opened' | 'none',
        ...(held === 0 ? { hold: { by: 'anna', reason: 'audit', since: '2026-01-01T00:00:00.000Z' } } : {}),
        ...(keepDays > 15 ? { keepUntil: new Date(NOW + keepDays * DAY_MS).toISOString() } : {}),
        ...(earlier === 0 ? { clusterId: '00000000-0000-4000-8000-000000000002' } : {}),
      }),
    ),
  );
const rules = fc
  .record({
    daily: fc.integer({ min: 0, max: 10 }),
    weekly: fc.integer({ min: 0, max: 6 }),
    monthly: fc.integer({ min: 0, max: 14 }),
    minimum: fc.integer({ min: 1, max: 5 }),
    asked: fc.constantFrom<RetentionRules['asked']>('load', 'checksum'),
  })
  .map(({ asked, ...retention }) => rulesOf({ retention, asked }));

/** What is promised, said another way: by going through the calendar. @throws when a promise is broken */
function requirePromised(backups: readonly BackupManifest[], { retention, nowMs }: RetentionRules, stays: ReadonlySet<string>): void {
  for (const lineage of Map.groupBy(backups, ({ clusterId }) => clusterId).values()) {
    const loaded = lineage.filter(isLoaded).toSorted((a, b) => takenAt(b) - takenAt(a) || (a.id < b.id ? 1 : -1));
    const require = (backup: BackupManifest | undefined, why: string) => {
      if (backup !== undefined && !stays.has(backup.id)) throw new Error(`${backup.id} went, and was ${why}`);
    };
    for (const backup of loaded.slice(0, retention.minimum)) require(backup, 'one of the newest');
    const within = (from: number, to: number) => newestOf(loaded.filter((backup) => takenAt(backup) >= from && takenAt(backup) < to));
    const today = Math.floor(nowMs / DAY_MS);
    for (let day = 0; day < retention.daily; day++)
      require(within((today - day) * DAY_MS, (today - day + 1) * DAY_MS), `of ${day} days ago`);
    const monday = today - ((new Date(nowMs).getUTCDay() + 6) % 7);
    for (let week = 0; week < retention.weekly; week++)
      require(within((monday - 7 * week) * DAY_MS, (monday - 7 * week + 7) * DAY_MS), `of ${week} weeks ago`);
    const [year, month] = [new Date(nowMs).getUTCFullYear(), new Date(nowMs).getUTCMonth()];
    for (let ago = 0; ago < retention.monthly; ago++)
      require(within(Date.UTC(year, month - ago, 1), Date.UTC(year, month - ago + 1, 1)), `of ${ago} months ago`);
  }
}

describe('over years of backups', () => {
  test('what was promised by the calendar stays, always the newest verified one, and what people asked for', () => {
    fc.assert(
      fc.property(history, rules, (backups, by) => {
        const stays = staying(retain(backups, by));
        requirePromised(backups, by, stays);
        for (const { id, hold, keepUntil } of backups) if (hold !== undefined || keepUntil !== undefined) expect(stays).toContain(id);
      }),
    );
  });

  test('a second rotation removes nothing more, an hour later neither', () => {
    fc.assert(
      fc.property(history, rules, fc.integer({ min: 0, max: 3_600_000 }), (backups, by, laterMs) => {
        const once = left(backups, retain(backups, by));
        const old = once.filter((backup) => by.nowMs - Date.parse(backup.finishedAt) > by.graceMs || isLoaded(backup));
        const again = staying(retain(once, by));
        expect(again.size).toBe(once.length);
        const later = staying(retain(once, { ...by, nowMs: by.nowMs + laterMs }));
        for (const { id } of old.filter(isLoaded)) expect(later).toContain(id);
      }),
    );
  });

  test('a rule that keeps more never removes what one that keeps less had kept', () => {
    fc.assert(
      fc.property(history, rules, fc.integer({ min: 0, max: 3 }), (backups, by, more) => {
        const { daily, weekly, monthly, minimum } = by.retention;
        const wider = { daily: daily + more, weekly: weekly + more, monthly: monthly + more, minimum: minimum + more };
        const stays = staying(retain(backups, { ...by, retention: wider }));
        for (const id of staying(retain(backups, by))) expect(stays).toContain(id);
      }),
    );
  });

  test('one that is not verified pushes out none that is', () => {
    fc.assert(
      fc.property(history, rules, (backups, by) => {
        const loaded = backups.filter(isLoaded);
        const without = staying(retain(loaded, by));
        const among = staying(retain(backups, by));
        for (const id of without) expect(among).toContain(id);
      }),
    );
  });

  test('day by day, with a rotation after each backup, it never has less than it promised, and never grows without end', () => {
    const by = rulesOf();
    let there: readonly BackupManifest[] = [];
    const all: BackupManifest[] = [];
    for (let day = 0; day < 2 * 365; day++) {
      const nowMs = Date.parse('2023-01-01T03:07:00Z') + day * DAY_MS;
      if (day % 97 > 90) continue; // a week of an outage
      const made = manifestOf(nowMs - 300_000, { how: day % 13 === 0 ? 'none' : 'loaded' });
      all.push(made);
      const rows = retain([...there, made], { ...by, nowMs });
      there = left([...there, made], rows);
      const ids = new Set(there.map(({ id }) => id));
      const { daily, weekly, monthly } = by.retention;
      // Those of weeks and months must have been kept all the time, though most of them were of no interest on the day that they were made.
      const loaded = all.filter(isLoaded).slice(-400).toReversed();
      for (const [places, nameOf] of [
        [daily, (at: string) => at.slice(0, 10)],
        [monthly, (at: string) => at.slice(0, 7)],
        [weekly, (at: string) => isoWeek(new Date(at))],
      ] as const) {
        const newest = [...Map.groupBy(loaded, ({ startedAt }) => nameOf(startedAt)).values()].slice(0, places);
        for (const [first] of newest) expect(ids).toContain(first?.id);
      }
      expect(there.length).toBeLessThanOrEqual(daily + weekly + monthly + 3);
    }
    expect(there.length).toBeGreaterThan(15);
  });

  test('a wrong rule is caught: that the newest of a day stays although it is not verified, and that the first of a day does', () => {
    const wrong = (pick: (backups: readonly BackupManifest[]) => readonly BackupManifest[]): unknown => {
      try {
        fc.assert(
          fc.property(history, rules, (backups, by) => requirePromised(backups, by, staying(retain(pick(backups), by)))),
          {
            numRuns: 500,
          },
        );
      } catch (error) {
        return error instanceof Error ? error.cause : error;
      }
      return undefined;
    };
    const caught = expect.objectContaining({ message: expect.stringContaining('went, and was') });
    const called = (how: 'loaded') => (backup: BackupManifest) => ({
      ...backup,
      verified: { how, at: backup.startedAt, tookMs: 1, shards: [] },
    });
    expect(wrong((backups) => backups.map(called('loaded')))).toEqual(caught);
    const mirrored = (backups: readonly BackupManifest[]) =>
      backups.map((backup) => ({
        ...backup,
        startedAt: new Date(Math.floor(takenAt(backup) / DAY_MS) * DAY_MS + (DAY_MS - 1 - (takenAt(backup) % DAY_MS))).toISOString(),
      }));
    expect(wrong(mirrored)).toEqual(caught);
  });
});

describe('a backup', () => {
  const rowOf = (backup: BackupManifest, others: readonly BackupManifest[], more: Partial<RetentionRules> = {}) =>
    retain([backup, ...others], rulesOf(more)).find(({ id }) => id === backup.id);
  const old = manifestOf(NOW - 900 * DAY_MS);
  const recent = Array.from({ length: 400 }, (_, days) => manifestOf(NOW - days * DAY_MS));

  test('that no rule keeps goes, and says so', () => {
    expect(rowOf(old, recent)).toEqual({ id: old.id, proof: 'loaded', stays: false, why: ['no rule keeps it'] });
  });

  test('that is held, or to be kept, or that the recovery window needs, stays and says why', () => {
    const hold = { by: 'anna', reason: 'audit', since: '2026-01-01T00:00:00.000Z' };
    expect(rowOf({ ...old, hold }, recent)).toMatchObject({ stays: true, why: ['held by anna: audit'] });
    expect(rowOf({ ...old, keepUntil: '2027-01-01T00:00:00.000Z' }, recent)?.why).toEqual(['to be kept until 2027-01-01T00:00Z']);
    expect(rowOf({ ...old, keepUntil: '2026-01-01T00:00:00.000Z' }, recent)?.stays).toBe(false);
    expect(rowOf(old, recent, { needed: new Map([[old.id, 'the recovery window begins from it']]) })?.stays).toBe(true);
  });

  test('that is not verified stays while no newer one is verified, and for its grace time after that', () => {
    const unverified = (agoMs: number) => manifestOf(NOW - agoMs, { how: 'none' });
    const verified = manifestOf(NOW - 3_600_000);
    expect(rowOf(unverified(60_000), [verified])?.stays).toBe(true);
    expect(rowOf(unverified(7_200_000), [verified])?.stays).toBe(true);
    expect(rowOf(unverified(2 * DAY_MS), [verified])).toMatchObject({ stays: false, why: ['not verified, and a newer one is'] });
    expect(rowOf(unverified(2 * DAY_MS), [])?.stays).toBe(true);
  });

  test('that was only read counts where the spec asks for no more, and then too it pushes out none that was loaded', () => {
    const opened = recent.map((backup, at) => (at < 300 ? manifestOf(takenAt(backup), { how: 'opened' }) : backup));
    const kept = (asked: RetentionRules['asked'], proof: string) =>
      retain(opened, rulesOf({ asked })).filter((row) => row.proof === proof && row.stays).length;
    expect([kept('load', 'opened'), kept('checksum', 'opened')]).toEqual([300, 7 + 3 + 9]);
    expect(kept('checksum', 'loaded')).toBeGreaterThanOrEqual(kept('load', 'loaded'));
  });

  test('of an earlier cluster of that name is not pushed out by those of the later one', () => {
    const before = manifestOf(NOW - 300 * DAY_MS, { clusterId: '00000000-0000-4000-8000-000000000002' });
    expect(rowOf(before, recent)?.why).toContain('the newest verified');
    expect(recent[0]?.clusterId).toBe(CLUSTER_ID);
  });

  test('a clock that is a year ahead empties nothing', () => {
    const today = staying(retain(recent, rulesOf()));
    expect(staying(retain(recent, rulesOf({ nowMs: NOW + 365 * DAY_MS })))).toEqual(today);
  });
});

test('ISO weeks belong to the year of their Thursday', () => {
  const week = (at: string) => isoWeek(new Date(at));
  expect(['2026-01-01', '2027-01-01', '2024-12-30', '2020-12-31', '2021-01-03', '2021-01-04'].map(week)).toEqual([
    '2026-W01',
    '2026-W53',
    '2025-W01',
    '2020-W53',
    '2020-W53',
    '2021-W01',
  ]);
});
