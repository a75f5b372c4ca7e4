import { randomBytes } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { tendArchive } from '../../activities/archive/tend-archive.ts';
import { createKeyRing, type KeyRing } from '../../activities/backup/key-ring.ts';
import { removeArchive } from '../../activities/rotation/remove.ts';
import { backupKeys, parseSegmentKey } from '../../config/names.ts';
import { diesAnywhere } from '../support/dying-store.ts';
import { memoryStore } from '../support/memory-store.ts';
import { type StoredArchive, storeArchive } from '../support/stored-archive.ts';

const cluster = 'orders';
const SEGMENTS = 40;
let store: ReturnType<typeof memoryStore>;
let ring: KeyRing;
let archive: StoredArchive;
let whole = '';

beforeEach(async () => {
  store = memoryStore();
  ring = createKeyRing(store, [randomBytes(32)], cluster);
  const sinceMs = Math.floor((Date.now() - 3_600_000) / 1000) * 1000;
  archive = await storeArchive(store, ring, { cluster, sinceMs, segments: SEGMENTS });
  whole = await archive.writes();
});

const keys = () => [...store.objects.keys()];
const segments = () => keys().filter((key) => parseSegmentKey(key) !== undefined);

test('what is archived is the same at every moment in which somebody who puts segments together dies', async () => {
  const deps = { store, ring, signal: new AbortController().signal };
  const rules = { olderThanMs: 0, mostBytes: 1 << 26, mostMs: 20_000, least: 2 };
  const deaths = await diesAnywhere(
    store,
    () => tendArchive(deps, cluster, rules),
    async () => expect(await archive.writes()).toBe(whole),
  );
  expect(deaths).toBeGreaterThan(1);
  await tendArchive(deps, cluster, rules); // what was put together the last time goes now
  expect(segments().length).toBeLessThan(SEGMENTS / 4);
  expect(await archive.writes()).toBe(whole);
});

test('what the window needs is there at every moment in which somebody who removes the rest dies, and the base until nothing follows it', async () => {
  const cut = archive.offsets[SEGMENTS / 2] ?? 0;
  const needed = await archive.writes(cut);
  const { base } = archive.begin;
  const cuts = [{ shard: 0, timeline: archive.begin.id, before: cut, segments: SEGMENTS / 2 }];
  await diesAnywhere(
    store,
    () => removeArchive(store, cluster, cuts),
    async () => {
      expect(await archive.writes(cut)).toBe(needed);
      if (segments().length > SEGMENTS / 2) expect(keys()).toContain(base.key);
    },
  );
  expect(segments()).toHaveLength(SEGMENTS / 2);
  expect(keys()).not.toContain(base.key);
});

test('of a timeline that goes as a whole nothing is offered from the first moment on, and a second one ends what the first has begun', async () => {
  const prefix = backupKeys.timeline(cluster, 0, archive.begin.id);
  const cuts = [{ shard: 0, timeline: archive.begin.id, segments: SEGMENTS }];
  const left = () => keys().filter((key) => key.startsWith(prefix)).length;
  const stored = left();
  let begun = 0;
  await diesAnywhere(
    store,
    () => removeArchive(store, cluster, cuts),
    async () => {
      if (left() === stored) return;
      begun++;
      expect(await readArchive(store, cluster, 0)).toEqual([]);
    },
  );
  expect(begun).toBeGreaterThan(1);
  expect(left()).toBe(0);
});
