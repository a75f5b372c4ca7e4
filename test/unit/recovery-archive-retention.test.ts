import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { commitBackup } from '../../activities/backup/catalogue.ts';
import { listBackups } from '../../activities/backup/list-backups.ts';
import { missingBackups, removeArchive, removeBackups, removeOrphans } from '../../activities/rotation/remove.ts';
import { planRotation } from '../../activities/rotation/survey.ts';
import type { TimelineBegin } from '../../config/archive.ts';
import type { BackupManifest } from '../../config/backup.ts';
import { backupKeys, type SegmentName } from '../../config/names.ts';
import { type Base, recoverShard, type Timeline } from '../../model/recovery/archive.ts';
import { type ArchiveCut, baseGoes, retainArchive, type WindowRules } from '../../model/recovery/archive-retention.ts';
import { findOrphans } from '../../model/recovery/orphans.ts';
import { cutsBesides } from '../../model/recovery/readings.ts';
import { CLUSTER_ID, DAY_MS, manifestOf } from '../support/manifests.ts';
import { memoryStore } from '../support/memory-store.ts';

/** The plan of a rotation reads the clock itself. */
const NOW = Math.floor(Date.now() / 1000) * 1000;
const HOUR_MS = 3_600_000;
const WINDOW: WindowRules = { nowMs: NOW, windowDays: 7, archiving: true };
/** A byte of the stream for each second: an offset tells the time. */
const offsetAt = (ms: number) => Math.floor((ms - (NOW - 100 * DAY_MS)) / 1000);

interface Stretch {
  readonly fromMs: number;
  readonly toMs: number;
  readonly everyMs: number;
  /** Where its replica took over. */
  readonly promotedMs?: number;
  readonly ended?: boolean;
}

/** A timeline with a segment every so often, some of them merged into larger ones that lie there beside their parts. */
function timelineOf(number: number, { fromMs, toMs, everyMs, promotedMs, ended = false }: Stretch): Timeline {
  const letters = 'bcdef';
  const replids = [{ replid: (letters[number] ?? 'b').repeat(40), offset: offsetAt(fromMs) }];
  if (promotedMs !== undefined) replids.push({ replid: `${number}`.repeat(40), offset: offsetAt(promotedMs) });
  const id = `20260101T0000${String(number).padStart(2, '0')}Z-00000000`;
  const segments: SegmentName[] = [];
  const add = (from: number, to: number) => {
    const stream = (replids.findLast(({ offset }) => offset <= offsetAt(from))?.replid ?? '').slice(0, 8);
    const place = { cluster: 'orders', shard: 0, timeline: id, stream };
    segments.push({ ...place, startOffset: offsetAt(from), endOffset: offsetAt(to), firstMs: from, lastMs: to - 1000 });
  };
  const cutAt = promotedMs ?? Number.POSITIVE_INFINITY;
  for (let at = fromMs; at < toMs; ) {
    const end = Math.min(at + everyMs, toMs, at < cutAt ? cutAt : Number.POSITIVE_INFINITY);
    add(at, end);
    at = end;
  }
  const own = segments.filter(({ stream }) => stream === segments[0]?.stream);
  for (let at = 0; at + 4 <= own.length; at += 9) add(own[at]?.firstMs ?? 0, (own[at + 3]?.lastMs ?? 0) + 1000);
  const [data] = manifestOf(fromMs, { replid: replids[0]?.replid ?? '', offset: offsetAt(fromMs) }).shards;
  if (data === undefined) throw new Error('a backup has a shard');
  const begin: TimelineBegin = {
    format: 'holdfast-archive-1',
    id,
    cluster: 'orders',
    clusterId: CLUSTER_ID,
    shard: 0,
    base: { ...data, key: backupKeys.base('orders', 0, id, '00000000') },
    because: 'first',
    began: new Date(fromMs).toISOString(),
  };
  const end = ended ? { end: { offset: offsetAt(toMs), because: 'gap' } } : {};
  return { begin, replids, slots: [], segments, ...end };
}

const backupAt = (timeline: Timeline, ms: number, how: 'loaded' | 'none' = 'loaded'): BackupManifest =>
  manifestOf(ms, { how, offset: offsetAt(ms), replid: timeline.replids.findLast(({ offset }) => offset <= offsetAt(ms))?.replid ?? '' });

const archive = fc
  .record({
    lengthsDays: fc.array(fc.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 3 }),
    gapHours: fc.integer({ min: 1, max: 48 }),
    everyHours: fc.integer({ min: 2, max: 12 }),
    promoted: fc.boolean(),
    backupHours: fc.array(fc.record({ agoHours: fc.integer({ min: 0, max: 60 * 24 }), good: fc.boolean() }), { maxLength: 40 }),
  })
  .map(({ lengthsDays, gapHours, everyHours, promoted, backupHours }) => {
    let toMs = NOW;
    const stretches: Stretch[] = [];
    for (const days of lengthsDays) {
      const fromMs = toMs - days * DAY_MS;
      const half = promoted ? { promotedMs: fromMs + (days * DAY_MS) / 2 } : {};
      stretches.unshift({ fromMs, toMs, everyMs: everyHours * HOUR_MS, ended: stretches.length > 0, ...half });
      toMs = fromMs - gapHours * HOUR_MS;
    }
    const timelines = stretches.map((stretch, number) => timelineOf(number, stretch));
    const backups = backupHours.flatMap(({ agoHours, good }) => {
      const ms = NOW - agoHours * HOUR_MS;
      const at = stretches.findIndex(({ fromMs, toMs: end }) => fromMs <= ms && ms <= end);
      const timeline = timelines[at];
      return timeline === undefined ? [] : [backupAt(timeline, ms, good ? 'loaded' : 'none')];
    });
    return { timelines, backups: backups.filter(({ verified }) => verified !== undefined) };
  });

/** What is left when the cuts were made and the backups that the window does not need have gone. */
function rotated(timelines: readonly Timeline[], backups: readonly BackupManifest[], rules: WindowRules) {
  const { cuts, needed } = retainArchive(timelines, backups, rules);
  const left = timelines.flatMap((timeline): readonly Timeline[] => {
    const cut = cuts.find(({ timeline: id }) => id === timeline.begin.id);
    if (cut === undefined) return [timeline];
    const { before } = cut;
    return before === undefined ? [] : [{ ...timeline, segments: timeline.segments.filter(({ endOffset }) => endOffset > before) }];
  });
  return { cuts, needed, timelines: left, backups: backups.filter(({ id }) => needed.has(id)) };
}

const basesOf = (timelines: readonly Timeline[], backups: readonly BackupManifest[]): readonly Base[] => [
  ...timelines.map(({ begin }) => ({ data: begin.base })),
  ...backups.flatMap(({ id, shards }) => shards.map((data) => ({ backup: id, data }))),
];

/** @throws when a moment of the window could be reached before, and cannot any more */
function requireWindow(
  before: { readonly timelines: readonly Timeline[]; readonly backups: readonly BackupManifest[] },
  now: { readonly timelines: readonly Timeline[]; readonly backups: readonly BackupManifest[] },
): void {
  for (let atMs = NOW - 7 * DAY_MS; atMs <= NOW; atMs += 5 * HOUR_MS + 1234) {
    const reached = (all: typeof before) => recoverShard(0, all.timelines, basesOf(all.timelines, all.backups), atMs);
    const [could, can] = [reached(before), reached(now)];
    if (could !== undefined && can === undefined) throw new Error(`${new Date(atMs).toISOString()} cannot be reached any more`);
  }
}

describe('the recovery window', () => {
  test('can be reached to every moment as before, when all that it does not need has gone', () => {
    fc.assert(
      fc.property(archive, (before) => requireWindow(before, rotated(before.timelines, before.backups, WINDOW))),
      { numRuns: 60 },
    );
  });

  test('needs nothing more to go after that, and what is older than it goes', () => {
    fc.assert(
      fc.property(archive, ({ timelines, backups }) => {
        const once = rotated(timelines, backups, WINDOW);
        expect(rotated(once.timelines, once.backups, WINDOW).cuts).toEqual([]);
        const over = once.timelines.filter(
          ({ end, segments }) => end !== undefined && segments.every(({ lastMs }) => lastMs < NOW - 8 * DAY_MS),
        );
        expect(over).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  test('that is cut too short is caught', () => {
    const problems = fc.check(
      fc.property(archive, (before) => requireWindow(before, rotated(before.timelines, before.backups, { ...WINDOW, windowDays: 5 }))),
      { numRuns: 200 },
    );
    expect(problems.failed).toBe(true);
  });

  test('keeps the newest timeline of an archive that goes on, however long nothing was written', () => {
    const quiet = timelineOf(0, { fromMs: NOW - 40 * DAY_MS, toMs: NOW - 30 * DAY_MS, everyMs: 12 * HOUR_MS });
    expect(retainArchive([quiet], [], WINDOW).cuts).toEqual([]);
    expect(retainArchive([quiet], [], { ...WINDOW, archiving: false }).cuts).toEqual([
      { shard: 0, timeline: quiet.begin.id, segments: quiet.segments.length },
    ]);
  });

  test('does not begin from a backup that is not verified', () => {
    const line = timelineOf(0, { fromMs: NOW - 20 * DAY_MS, toMs: NOW, everyMs: 6 * HOUR_MS });
    const verified = backupAt(line, NOW - 12 * DAY_MS);
    const { cuts, needed } = retainArchive([line], [verified], WINDOW);
    expect([...needed.keys()]).toEqual([verified.id]);
    expect(cuts).toEqual([{ shard: 0, timeline: line.begin.id, before: offsetAt(NOW - 12 * DAY_MS), segments: expect.any(Number) }]);
  });
});

/** The bucket with an archive, a verified backup in it, and some things that nobody owns. */
async function stored() {
  const line = timelineOf(0, { fromMs: NOW - 20 * DAY_MS, toMs: NOW, everyMs: 6 * HOUR_MS });
  const over = timelineOf(1, { fromMs: NOW - 60 * DAY_MS, toMs: NOW - 50 * DAY_MS, everyMs: 24 * HOUR_MS, ended: true });
  const backup = { ...backupAt(line, NOW - 12 * DAY_MS) };
  const store = memoryStore();
  for (const { begin, segments, end } of [over, line]) {
    await store.put(backupKeys.begin('orders', 0, begin.id), JSON.stringify(begin));
    await store.put(begin.base.key, 'base');
    for (const segment of segments) await store.put(backupKeys.segment(segment), 'segment');
    const name = { cluster: 'orders', shard: 0, timeline: begin.id, kind: 'end', offset: end?.offset ?? 0, ms: NOW };
    if (end !== undefined) await store.put(backupKeys.fact(name), JSON.stringify({ because: 'gap' }));
  }
  await store.put(backupKeys.manifest('orders', backup.id), JSON.stringify(backup));
  for (const { key } of backup.shards) await store.put(key, 'shard');
  return { store, line, over, backup };
}

describe('a rotation', () => {
  const plan = (store: ReturnType<typeof memoryStore>) => planRotation(store, { cluster: 'orders', graceSeconds: 86_400 });

  test('removes what is out of the window, in an order in which no reader begins with what is not there', async () => {
    const { store, line, over, backup } = await stored();
    await store.put(backupKeys.drill('orders'), '{}'); // of no backup, and no orphan
    const removed: string[] = [];
    const watching = {
      ...store,
      async removeAll(keys: readonly string[]) {
        removed.push(...keys);
        await store.removeAll(keys);
      },
    };
    const { cuts, going, backups } = await plan(store);
    expect([going, backups.map(({ why }) => why[0])]).toEqual([[], ['the newest verified']]);
    const wholly = cuts.filter(({ before }) => before === undefined);
    expect(wholly.map(({ timeline }) => timeline)).toContain(over.begin.id);
    await removeArchive(watching, 'orders', cuts);
    expect(removed).not.toEqual([]);
    const before = Math.max(...cuts.map((cut: ArchiveCut) => cut.before ?? 0));
    for (const prefix of [over.begin.id, line.begin.id].map((id) => backupKeys.timeline('orders', 0, id))) {
      const its = removed.filter((key) => key.startsWith(prefix));
      const begin = its.findIndex((key) => key.endsWith('begin.json'));
      const base = its.findIndex((key) => key.includes('/base.'));
      if (begin !== -1) expect(begin).toBe(0);
      else if (base !== -1) expect(base).toBe(its.length - 1);
    }
    expect(await store.list(backupKeys.timeline('orders', 0, over.begin.id))).toEqual([]);
    if (before > 0) expect(baseGoes(line, before)).toBe(!(await store.list('')).includes(line.begin.base.key));
    const again = await plan(store);
    expect([again.steps, again.going]).toEqual([[], []]);
    expect(await missingBackups(store, 'orders', [backup.id, 'gone'])).toEqual(['gone']);
  });

  test('that is cut off in the middle is finished by the next one', async () => {
    const { store } = await stored();
    for (let day = 30; day < 60; day++) {
      const { shards, ...manifest } = manifestOf(NOW - day * DAY_MS);
      await store.put(backupKeys.manifest('orders', manifest.id), JSON.stringify({ ...manifest, shards }));
      for (const { key } of shards) await store.put(key, 'shard');
    }
    const first = await plan(store);
    expect(first.going.length).toBeGreaterThan(10);
    let allowed = 7;
    const failing = {
      ...store,
      removeAll: async (keys: readonly string[]) => {
        for (const key of keys) {
          if (allowed-- <= 0) throw new Error('503');
          await store.remove(key);
        }
      },
    };
    await expect(removeBackups(failing, 'orders', first.going)).rejects.toThrow('503');
    const second = await plan(store);
    for (const { id, stays } of first.backups) if (stays) expect(second.backups.map((row) => row.id)).toContain(id);
    await Promise.all([removeBackups(store, 'orders', first.going), removeBackups(store, 'orders', second.going)]);
    await removeOrphans(store, (await plan(store)).orphans);
    expect((await plan(store)).orphans).toEqual({ folders: [], objects: [], uploads: [] });
    const lies = (await store.list(backupKeys.backups('orders'))).filter((key) => key !== backupKeys.index('orders'));
    const left = new Set(lies.map((key) => key.split('/')[2]));
    expect(left).toEqual(new Set(first.backups.filter(({ stays }) => stays).map(({ id }) => id)));
  });

  test('leaves a backup that was held after it was planned, and one whose manifest it cannot read', async () => {
    const { store, backup } = await stored();
    const hold = { by: 'anna', reason: 'audit', since: '2026-01-01T00:00:00.000Z' };
    await store.put(backupKeys.manifest('orders', backup.id), JSON.stringify({ ...backup, hold }));
    expect(await removeBackups(store, 'orders', [backup.id])).toEqual({ removed: 0, kept: [backup.id] });
    await store.put(backupKeys.manifest('orders', backup.id), JSON.stringify({ ...backup, format: 'holdfast-backup-9' }));
    expect((await plan(store)).backups).toMatchObject([{ id: backup.id, proof: 'unreadable', stays: true }]);
    expect((await plan(store)).orphans.objects).toEqual([]);
  });

  test('leaves what somebody reads, also when that began after it was planned', async () => {
    const { store, line, over, backup } = await stored();
    const first = await plan(store);
    expect(first.cuts.map(({ timeline }) => timeline)).toContain(over.begin.id);
    const reading = {
      by: 'cluster/orders/restore/1',
      backups: [backup.id],
      timelines: [over, line].map(({ begin: { shard, id } }) => ({ shard, timeline: id })),
    };
    const beside = await planRotation(store, { cluster: 'orders', graceSeconds: 0 }, { readings: [reading], archiving: false });
    expect(beside.cuts).toEqual([]);
    expect(beside.backups).toMatchObject([
      { id: backup.id, stays: true, why: expect.arrayContaining(['cluster/orders/restore/1 reads it']) },
    ]);
    expect(await removeBackups(store, 'orders', [backup.id], [reading])).toEqual({ removed: 0, kept: [backup.id] });
    expect(cutsBesides(first.cuts, [reading])).toEqual([]);
    expect(cutsBesides(first.cuts, [])).toEqual(first.cuts);
  });

  test('takes nothing of what an archive that runs is making for nobody’s, and all of it once it does not run', async () => {
    const { store, over } = await stored();
    const made = '20270101T000000Z-00000000';
    const segment = {
      cluster: 'orders',
      shard: 0,
      timeline: made,
      startOffset: 1,
      endOffset: 2,
      firstMs: 1,
      lastMs: 2,
      stream: 'aaaaaaaa',
    };
    const left = backupKeys.base('orders', 0, '20250101T000000Z-00000000', '00000000');
    await store.put(backupKeys.segment(segment), 'its base is on its way');
    await store.put(left, 'nobody will begin with it');
    const uploads = [made, over.begin.id, '20250101T000000Z-00000000'].map((id) => ({
      key: backupKeys.base('orders', 0, id, '11111111'),
      uploadId: id,
      begunAt: new Date(0),
    }));
    const uploading = { ...store, listUploads: async (prefix: string) => uploads.filter(({ key }) => key.startsWith(prefix)) };
    const orphans = async (archiving: boolean) =>
      (await planRotation(uploading, { cluster: 'orders', graceSeconds: 0 }, { readings: [], archiving })).orphans;
    const [older, newer] = ['20250101T000000Z-00000000', made].map((id) => backupKeys.timeline('orders', 0, id));
    expect(await orphans(true)).toMatchObject({ folders: [older], uploads: [{ uploadId: '20250101T000000Z-00000000' }] });
    expect((await orphans(false)).folders.toSorted()).toEqual([older, newer]);
    expect((await orphans(false)).uploads).toHaveLength(3);
  });

  test('finds what came when all else of it had been removed, and nobody else takes it for a backup or a timeline', async () => {
    const { store, line, backup } = await stored();
    for (const { key } of backup.shards) await store.remove(key);
    expect(await listBackups(store, 'orders', 10)).toEqual([]);
    const late = '20270101T000000Z-00000000';
    const base = { ...line.begin.base, key: backupKeys.base('orders', 0, late, '00000000') };
    await store.put(backupKeys.begin('orders', 0, late), JSON.stringify({ ...line.begin, id: late, base }));
    expect((await readArchive(store, 'orders', 0)).map(({ begin }) => begin.id)).not.toContain(late);
    const { orphans, backups } = await planRotation(store, { cluster: 'orders', graceSeconds: 0 });
    expect(backups).toEqual([]);
    expect(orphans.folders.toSorted()).toEqual([backupKeys.timeline('orders', 0, late), backupKeys.backup('orders', backup.id)].toSorted());
    await removeOrphans(store, orphans);
    expect((await store.list('')).filter((key) => key.includes(late) || key.includes(backup.id))).toEqual([]);
    await expect(commitBackup(store, backup)).rejects.toThrow('no such object');
  });
});

test('what nobody owns goes when its grace time is over, and a backup that runs now does not', () => {
  const folder = (prefix: string, ages: readonly number[], named?: (key: string) => boolean) => ({
    prefix,
    objects: ages.map((ageMs, at) => ({ key: `${prefix}${at}`, modifiedMs: NOW - ageMs })),
    ...(named === undefined ? {} : { named }),
  });
  const found = findOrphans(
    [
      folder('runs-now/', [3 * DAY_MS, 1000]),
      folder('given-up/', [3 * DAY_MS, 2 * DAY_MS]),
      folder('whole/', [3 * DAY_MS, 2 * DAY_MS, 1000], (key) => key === 'whole/0'),
    ],
    [
      { key: 'new', uploadId: '1', begunMs: NOW - 1000 },
      { key: 'old', uploadId: '2', begunMs: NOW - 2 * DAY_MS },
    ],
    { nowMs: NOW, graceMs: DAY_MS },
  );
  expect(found).toEqual({ folders: ['given-up/'], objects: ['whole/1'], uploads: [{ key: 'old', uploadId: '2' }] });
});

test('a backup that is committed by an attempt that was given up, when its data had been removed, is none', async () => {
  const store = memoryStore();
  const manifest = manifestOf(NOW);
  const { shards } = manifest;
  for (const { key } of shards) await store.put(key, 's');
  const late = {
    ...store,
    async put(name: string, body: Uint8Array | string) {
      for (const { key } of shards) await store.remove(key);
      await store.put(name, body);
    },
  };
  await expect(commitBackup(late, manifest)).rejects.toThrow('has been removed');
  expect(await store.list('')).toEqual([]);
  for (const { key } of shards) await store.put(key, 's');
  await commitBackup(store, manifest);
  expect((await listBackups(store, 'orders', 10)).map(({ id }) => id)).toEqual([manifest.id]);
});
