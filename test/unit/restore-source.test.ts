import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import { tendArchive } from '../../activities/archive/tend-archive.ts';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { findSource, type SourceDeps } from '../../activities/restore/find-source.ts';
import { removeArchive } from '../../activities/rotation/remove.ts';
import type { BackupManifest } from '../../config/backup.ts';
import { backupKeys } from '../../config/names.ts';
import { readsOf, sameAs } from '../../model/recovery/readings.ts';
import { sourceOfBackup } from '../../model/recovery/shard-recovery.ts';
import { manifestOf } from '../support/manifests.ts';
import { memoryStore } from '../support/memory-store.ts';
import { storeArchive } from '../support/stored-archive.ts';

const cluster = 'orders';
const SECOND = 1000;
const SINCE = Date.UTC(2026, 10, 21);
const iso = (second: number) => new Date(SINCE + second * SECOND).toISOString();

const STATES = ['loaded', 'opened', 'unverified', 'damaged', 'unreadable'] as const;
type State = (typeof STATES)[number];

/** A backup that was taken in that second, at its beginning or amid the segment that is archived of it. */
interface Taken {
  readonly second: number;
  readonly state: State;
  readonly amid?: boolean;
}

function inState(state: State, startedMs: number, offset: number): BackupManifest {
  if (state === 'damaged')
    return manifestOf(startedMs, { offset, damaged: { at: iso(0), type: 'ObjectDamaged', why: 'a frame was altered' } });
  return manifestOf(startedMs, { offset, how: state === 'opened' ? 'opened' : state === 'unverified' ? 'none' : 'loaded' });
}

/** A bucket with an archive of so many seconds, of which a rotation has cut the first ones, and with backups. */
async function bucketOf({ seconds, cut = 0, backups }: { seconds: number; cut?: number; backups: readonly Taken[] }) {
  const store = memoryStore();
  const ring = createKeyRing(store, [randomBytes(32)], cluster);
  const { begin, offsets } = await storeArchive(store, ring, { cluster, sinceMs: SINCE, segments: seconds });
  const ids: string[] = [];
  for (const { second, state, amid = false } of backups) {
    const manifest = inState(state, SINCE + second * SECOND, (offsets[second] ?? 0) + (amid ? 1 : 0));
    const stored = state === 'unreadable' ? { ...manifest, format: 'holdfast-backup-9' } : manifest;
    for (const { key } of manifest.shards) await store.put(key, 'sealed');
    await store.put(backupKeys.manifest(cluster, manifest.id), JSON.stringify(stored));
    ids.push(manifest.id);
  }
  if (cut > 0) await removeArchive(store, cluster, [{ shard: 0, timeline: begin.id, before: offsets[cut] ?? 0, segments: cut }]);
  const deps = { store, secrets: { keyRing: async () => ring } } as unknown as SourceDeps;
  const summarize = () => tendArchive({ store, ring, signal: new AbortController().signal }, cluster);
  return { store, deps, ids, begin, summarize };
}

/** Verified once, in second 5, which the window begins at; since then every night something was wrong. */
const badNights = (count: number, states: readonly State[] = ['unverified', 'damaged', 'unreadable']) => ({
  seconds: 40,
  cut: 5,
  backups: [
    { second: 5, state: 'loaded' as const },
    ...Array.from({ length: count }, (_, night) => ({ second: 6 + night, state: states[night % states.length] ?? 'unverified' })),
  ],
});

describe('the data of a moment', () => {
  test.each([1, 20, 30])('is found behind %i backups that nobody can build upon', async (count) => {
    const { deps, ids } = await bucketOf(badNights(count));
    const [good] = ids;
    for (const [which, reachedMs] of [
      [{ atMs: SINCE + 38 * SECOND + 500 }, SINCE + 38 * SECOND],
      ['latest', SINCE + 40 * SECOND],
      ['newest', SINCE + 40 * SECOND],
    ] as const)
      expect(await findSource(deps, { cluster, which })).toMatchObject({ proven: true, shards: [{ backup: good, until: { reachedMs } }] });
  });

  test('is the newest backup that somebody has opened, where nothing is archived, however many are newer', async () => {
    const { deps, ids, begin, store } = await bucketOf(badNights(30));
    for (const key of await store.list(backupKeys.timeline(cluster, 0, begin.id))) await store.remove(key);
    expect(await findSource(deps, { cluster, which: 'newest' })).toMatchObject({ shards: [{ backup: ids[0] }] });
  });

  test('begins at the newest base before it', async () => {
    const { deps, ids } = await bucketOf({ ...badNights(20, ['loaded']) });
    const source = await findSource(deps, { cluster, which: { atMs: SINCE + 10 * SECOND + 500 } });
    expect(source.shards).toMatchObject([{ backup: ids[5], until: { segments: 1 } }]);
  });

  test('that cannot be reached is refused with those after it, too', async () => {
    const { deps } = await bucketOf(badNights(3));
    const refused = findSource(deps, { cluster, which: { atMs: SINCE + 2 * SECOND } });
    await expect(refused).rejects.toThrow(`It can be brought back to\n  ${iso(5)} to ${iso(40)}`);
  });

  test('is not denied to a cluster of which nothing but unverified backups is left: they are named', async () => {
    const { deps, begin, store } = await bucketOf({ seconds: 1, backups: [{ second: 0, state: 'unverified' }] });
    for (const key of await store.list(backupKeys.timeline(cluster, 0, begin.id))) await store.remove(key);
    await expect(findSource(deps, { cluster, which: 'newest' })).rejects.toThrow(`holdfast backup list ${cluster}`);
    await expect(findSource(deps, { cluster: 'nobody', which: 'newest' })).rejects.toThrow('there is no cluster named nobody');
  });
});

test('is the same when it is asked for once more, also where the first shard had no slots; and what is read of that one is told, too', () => {
  const [base] = manifestOf(SINCE).shards;
  if (base === undefined) throw new Error('a backup has a shard');
  const until = { timeline: 't1', atMs: SINCE + 500, reachedMs: SINCE, bytes: 1, segments: 1 };
  const idle = { shard: 0, cluster, timeline: 't0', base, slots: '', atMoment: true };
  const source = {
    cluster,
    spec: {},
    what: '',
    proven: true,
    shards: [idle, { ...idle, shard: 1, timeline: 't1', slots: '0-16383', until }],
  };
  expect(sameAs(source)).toEqual({ atMs: SINCE + 500 });
  expect(readsOf(source).timelines).toEqual([
    { shard: 0, timeline: 't0' },
    { shard: 1, timeline: 't1' },
  ]);
  expect(sameAs(sourceOfBackup(manifestOf(SINCE)))).toHaveProperty('backup');
});

test('what is read of the backups is read once, however many there are', async () => {
  const { deps, store } = await bucketOf(badNights(30));
  const reads: string[] = [];
  const read: typeof store.read = async (key) => {
    reads.push(key);
    return store.read(key);
  };
  const counting = { ...deps, store: { ...store, read } };
  await findSource(counting, { cluster, which: 'latest' });
  expect(reads.splice(0)).toHaveLength(31);
  await findSource(counting, { cluster, which: 'latest' });
  await readRecoveryWindow(counting.store, cluster);
  expect(reads.every((key) => String(store.objects.get(key)).includes('holdfast-backup-9'))).toBe(true);
});

test('the recovery window has exactly the moments that a restore takes, whatever became of the backups', async () => {
  const SECONDS = 10;
  const taken = fc.record({ second: fc.nat({ max: SECONDS - 1 }), state: fc.constantFrom(...STATES), amid: fc.boolean() });
  let [offered, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(taken, { maxLength: 5 }), fc.nat({ max: SECONDS - 1 }), async (backups, cut) => {
      const { deps } = await bucketOf({ seconds: SECONDS, cut, backups });
      const { spans, latest } = await readRecoveryWindow(deps.store, cluster);
      for (let second = -0.5; second <= SECONDS + 0.5; second += 0.5) {
        const at = iso(second);
        const isOffered = spans.some(({ from, to }) => from <= at && at <= to);
        const found = await findSource(deps, { cluster, which: { atMs: Date.parse(at) } }).then(
          () => 'found',
          ({ type }: { readonly type?: string }) => type,
        );
        expect([at, found]).toEqual([at, isOffered ? 'found' : 'NotRestorable']);
        if (isOffered) offered++;
        else refused++;
      }
      const last = findSource(deps, { cluster, which: 'latest' });
      if (latest === undefined) await expect(last).rejects.toThrow('no moment');
      else expect((await last).what).toBe(`as it was at ${latest}`);
    }),
    { numRuns: 40 },
  );
  expect(Math.min(offered, refused)).toBeGreaterThan(0);
});

describe('the summary of an archive', () => {
  test('tells from when to when, and no gap, when a rotation has cut the base that it began at', async () => {
    const { summarize, deps } = await bucketOf(badNights(3));
    const [shard] = await summarize();
    expect(shard).toMatchObject({ shard: 0, timelines: 1, from: iso(5), to: iso(40), gaps: 0 });
    const window = await readRecoveryWindow(deps.store, cluster);
    expect(window.shards[0]).toMatchObject({ spans: [{ from: shard?.from, to: shard?.to }], gaps: [] });
  });

  test('tells a gap where the base that it begins at is found damaged', async () => {
    const { summarize, deps } = await bucketOf({ ...badNights(0), backups: [{ second: 5, state: 'damaged' }] });
    expect(await summarize()).toEqual([{ shard: 0, timelines: 1, segments: 35, gaps: 1 }]);
    expect(await readRecoveryWindow(deps.store, cluster)).toMatchObject({ spans: [], shards: [{ gaps: [{}] }] });
  });
});
