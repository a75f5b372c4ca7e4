import { randomBytes } from 'node:crypto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type Docker from 'dockerode';
import { beforeEach, describe, expect, test } from 'vitest';
import { aboutShard, type PartOf } from '../../activities/backup/about-shard.ts';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { sealStream } from '../../activities/backup/seal.ts';
import { verifyShard } from '../../activities/backup/verify-shard.ts';
import { layOutData } from '../../activities/restore/append-only.ts';
import type { SecretStore } from '../../activities/secrets/secret-store.ts';
import { type ShardBackup, shardBackup } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import { memoryStore } from '../support/memory-store.ts';
import { inChunks, shardFacts } from './backup-objects.ts';

const backup = '20261121T091700Z-0123abcd';
const whole: PartOf = { cluster: 'orders', backup };
/** Every other slot: a list that no header has room for. */
const scattered = Array.from({ length: 1000 }, (_, at) => 2 * at).join(',');
const store = memoryStore();
const ring = createKeyRing(store, [randomBytes(32)], 'orders');
const deps = { store, secrets: { keyRing: async () => ring } as unknown as SecretStore, docker: {} as Docker };
let stored: ShardBackup;

/** Stored as a part of this; the manifest says what comes back. */
async function storedAs(partOf: PartOf, slots = '0-5460'): Promise<ShardBackup> {
  const key = backupKeys.shard('orders', backup, 0, randomBytes(4).toString('hex'));
  const place = { shard: 0, replid: 'c'.repeat(40), offset: 4711, slots };
  const about = aboutShard(partOf, place);
  const sealing = sealStream(inChunks(randomBytes(5000), 1000), { kek: await ring.current(), content: 'rdb', about });
  await store.putStream(key, sealing.bytes);
  return shardBackup.parse({
    ...place,
    key,
    object: sealing.facts(),
    ...shardFacts,
  });
}

/** Reads it as a verification does, and as a restore. */
const ways = {
  verify: (shard: ShardBackup, { cluster, backup: id = '' }: PartOf) =>
    verifyShard(deps, { cluster, backup: id, shard, how: 'checksum', memoryBytes: 1 }),
  restore: (base: ShardBackup, partOf: PartOf) =>
    layOutData(deps, { ...partOf, shard: base.shard, base, slots: base.slots }, async (tar) => {
      for await (const part of tar) void part;
    }),
};
const read = (way: keyof typeof ways, shard: ShardBackup, partOf: PartOf = whole) =>
  new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run<[], unknown, () => Promise<unknown>>(() =>
    ways[way](shard, partOf),
  );

beforeEach(async () => {
  stored = await storedAs(whole);
});

describe.each(['verify', 'restore'] as const)('who comes to %s a shard', (way) => {
  test('reads one that is where its manifest says', async () => {
    await read(way, stored);
    await read(way, await storedAs(whole, ''));
    await read(way, await storedAs(whole, scattered));
  });

  test.each([
    ['offset', { offset: 4712 }, 'offset 4711, and not 4712'],
    ['replication id', { replid: 'd'.repeat(40) }, `replid ${'c'.repeat(40)}`],
    ['slots', { slots: '0-5461' }, 'slots 0-5460, and not 0-5461'],
    ['slots, of which there are many now', { slots: scattered }, 'slots 0-5460, and not 0,2,4'],
    ['shard', { shard: 1 }, 'shard 0, and not 1'],
  ])('refuses a manifest in which somebody altered the %s', async (_, change, why) => {
    await expect(read(way, { ...stored, ...change })).rejects.toMatchObject({
      type: failures.objectDamaged,
      message: expect.stringContaining(why),
    });
  });

  test('refuses slots of which the header has no more than the digest', async () => {
    const many = await storedAs(whole, scattered);
    await expect(read(way, { ...many, slots: '0-5460' })).rejects.toThrow(/slotsSha256/);
  });

  test('refuses a shard of another backup, or of another cluster', async () => {
    await expect(read(way, stored, { cluster: 'orders', backup: '20261122T091700Z-0123abcd' })).rejects.toThrow(
      `backup ${backup}, and not`,
    );
    await expect(read(way, stored, { cluster: 'cache', backup })).rejects.toThrow('cluster orders, and not cache');
  });
});

test('the base of a timeline is the one that its begin.json describes', async () => {
  const timeline = '20261121T090000Z-89abcdef';
  const base = await storedAs({ cluster: 'orders', timeline });
  await read('restore', base, { cluster: 'orders', timeline });
  await expect(read('restore', { ...base, offset: 4712 }, { cluster: 'orders', timeline })).rejects.toThrow(/offset 4711.*begin\.json/);
  await expect(read('restore', base, { cluster: 'orders', timeline: '20261122T090000Z-89abcdef' })).rejects.toThrow(`timeline ${timeline}`);
  await expect(read('restore', stored, { cluster: 'orders', timeline })).rejects.toThrow('timeline nothing');
});
