import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import { listBackups } from '../../activities/backup/list-backups.ts';
import { planRotation } from '../../activities/rotation/survey.ts';
import type { BackupManifest } from '../../config/backup.ts';
import { backupKeys } from '../../config/names.ts';
import { DAY_MS, manifestOf } from '../support/manifests.ts';
import { memoryStore } from '../support/memory-store.ts';

const NOW = Date.UTC(2026, 10, 21);
const INDEX = backupKeys.index('orders');
const keyOf = ({ id }: BackupManifest) => backupKeys.manifest('orders', id);

/** A bucket with a history, that counts which manifests are read. */
async function history(count = 40) {
  const store = memoryStore();
  const manifests = Array.from({ length: count }, (_, days) => manifestOf(NOW - days * DAY_MS));
  const put = async (manifest: BackupManifest) => {
    for (const { key } of manifest.shards) await store.put(key, 'sealed');
    await store.put(keyOf(manifest), JSON.stringify(manifest));
  };
  for (const manifest of manifests) await put(manifest);
  const reads: string[] = [];
  const counting: typeof store = {
    ...store,
    async read(key) {
      reads.push(key);
      return store.read(key);
    },
  };
  const list = (limit = 1000) => listBackups(counting, 'orders', limit);
  return { store, counting, manifests, put, reads, list };
}

const idsOf = (all: readonly { readonly id: string }[]) => all.map(({ id }) => id);

test('manifests are read once; then only those that changed, and every change is seen', async () => {
  const { store, manifests, put, reads, list } = await history();
  const first = await list();
  expect(idsOf(first)).toEqual(idsOf(manifests));
  expect(reads.splice(0)).toHaveLength(40);
  expect(await list()).toEqual(first);
  expect(reads.splice(0)).toEqual([]);

  const [newest, second, third] = manifests as [BackupManifest, BackupManifest, BackupManifest];
  const added = manifestOf(NOW + DAY_MS);
  await put(added);
  await put({ ...second, hold: { by: 'anna', reason: 'audit', since: newest.startedAt } });
  await store.remove(keyOf(third));
  const then = await list();
  expect(idsOf(then)).toEqual([added.id, ...idsOf(manifests).filter((id) => id !== third.id)]);
  expect(then.filter(({ held }) => held).map(({ id }) => id)).toEqual([second.id]);
  expect(reads.splice(0).toSorted()).toEqual([keyOf(added), keyOf(second)].toSorted());

  await put(second); // as it was: what is known of it is of the other one
  expect((await list()).some(({ held }) => held)).toBe(false);
  reads.splice(0);
  expect(idsOf(await list(20))).toEqual(idsOf(then).slice(0, 20));
  await list();
  expect(reads).toEqual([]); // a short list takes nothing out of the index
});

test('an index that is gone, altered or cut short anywhere changes no answer', async () => {
  const { store, list } = await history(20);
  const right = await list();
  const index = store.objects.get(INDEX) ?? Buffer.alloc(0);
  await fc.assert(
    fc.asyncProperty(fc.nat(index.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), async (at, flip, cut) => {
      const spoilt = Buffer.from(cut ? index.subarray(0, at) : index);
      if (!cut) spoilt[at] = (spoilt[at] ?? 0) ^ flip;
      store.objects.set(INDEX, spoilt);
      expect(await list()).toEqual(right);
    }),
    { numRuns: 100 },
  );
  store.objects.set(INDEX, Buffer.from('\n'));
  expect(await list()).toEqual(right);
});

test('what an index of another version or another way to read manifests says is not taken', async () => {
  const { store, list, reads } = await history(20);
  await list();
  const text = String(store.objects.get(INDEX));
  store.objects.set(INDEX, Buffer.from(text.replace(/ [0-9a-f]{64} /, ` ${'0'.repeat(64)} `)));
  reads.splice(0);
  await list();
  expect(reads).toHaveLength(20);
});

test('a manifest that is replaced between the listing and the reading is not taken for the one that was listed', async () => {
  const { store, counting, manifests, put, list, reads } = await history(20);
  const [newest] = manifests as [BackupManifest];
  const held = { ...newest, hold: { by: 'anna', reason: 'audit', since: newest.startedAt } };
  const listing = await store.listObjects(backupKeys.backups('orders'));
  await put(held);
  await listBackups({ ...counting, listObjects: async () => listing }, 'orders', 1000);
  await put(newest); // what the old listing told of is there again
  reads.splice(0);
  const [again] = await list();
  expect(again?.held).toBe(false);
  expect(reads).toEqual([keyOf(newest)]);
});

test('one manifest that cannot be read is named, all others are listed, and a rotation keeps it', async () => {
  const { store, counting, manifests, list } = await history(20);
  const [, second] = manifests as [BackupManifest, BackupManifest];
  await store.put(keyOf(second), JSON.stringify({ ...second, format: 'holdfast-backup-9' }));
  for (let times = 0; times < 2; times++) {
    const found = await list();
    expect(idsOf(found)).toEqual(idsOf(manifests));
    expect(found.filter(({ unreadable }) => unreadable !== undefined)).toMatchObject([
      { id: second.id, startedAt: second.startedAt, unreadable: expect.stringContaining(`${keyOf(second)} is no manifest`) },
    ]);
  }
  const { backups, orphans } = await planRotation(counting, { cluster: 'orders', graceSeconds: 0 });
  expect(backups.find(({ id }) => id === second.id)).toMatchObject({ proof: 'unreadable', stays: true });
  expect(orphans).toEqual({ folders: [], objects: [], uploads: [] }); // the index is no orphan
  await expect(readRecoveryWindow(counting, 'orders')).resolves.toBeDefined();
});
