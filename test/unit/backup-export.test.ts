import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BackupFolder, openFolder } from '../../activities/backup/backup-folder.ts';
import { readManifest } from '../../activities/backup/catalogue.ts';
import { exportBackup } from '../../activities/backup/export-backup.ts';
import { importBackups } from '../../activities/backup/import-backup.ts';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { openStream } from '../../activities/backup/open.ts';
import { sealStream } from '../../activities/backup/seal.ts';
import type { MasterKeys } from '../../activities/secrets/master-keys.ts';
import { type BackupManifest, backupManifest } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import { memoryStore } from '../support/memory-store.ts';
import { inChunks, shardFacts } from './backup-objects.ts';

const cluster = 'orders';
const id = '20261121T091700Z-0123abcd';
const plain = randomBytes(300_000);
const masterKey = randomBytes(32);
const key = backupKeys.shard(cluster, id, 0, '4f2e19aa');
let store: ReturnType<typeof memoryStore>;
let path = '';
let folder: BackupFolder;

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'holdfast-export-'));
  folder = openFolder(path);
  store = memoryStore();
  const kek = await createKeyRing(store, [masterKey], cluster).current();
  const sealing = sealStream(inChunks(plain, 65_536), { kek, content: 'rdb' });
  await store.putStream(key, sealing.bytes);
  await store.put(backupKeys.manifest(cluster, id), JSON.stringify(manifestOf(sealing.facts())));
});
afterEach(() => rmSync(path, { recursive: true }));

const manifestOf = (object: BackupManifest['shards'][number]['object']): BackupManifest =>
  backupManifest.parse({
    format: 'holdfast-backup-1',
    id,
    cluster,
    clusterId: 'e373f2f5-87b6-4053-9de8-9911950c30a8',
    generation: 1,
    spec: { name: cluster },
    startedAt: '2026-11-21T09:17:00.000Z',
    finishedAt: '2026-11-21T09:17:10.000Z',
    shards: [
      {
        shard: 0,
        key,
        object,
        replid: 'c'.repeat(40),
        offset: 5000,
        slots: '0-16383',
        ...shardFacts,
      },
    ],
  });

const takeOut = (backup = 'latest') => exportBackup(store, folder, { cluster, backup });
const bringIn = (into = memoryStore(), key = masterKey, sealedUnder?: MasterKeys) =>
  importBackups(into, folder, {
    ringOf: async (name) => createKeyRing(into, [key], name),
    ...(sealedUnder === undefined ? {} : { sealedUnder }),
  });
const file = (name: string) => join(path, ...name.split('/'));
const keyFile = () => [...store.objects.keys()].find((name) => name.startsWith('keys/')) ?? '';
const content = async (from: ReturnType<typeof memoryStore>, under: Uint8Array) => {
  const ring = createKeyRing(from, [under], cluster);
  return buffer(openStream(from.getStream(key), { name: key, kekById: ring.byId }).bytes);
};

describe('a backup that is taken elsewhere', () => {
  test('opens there with the same master key, and both ways can be gone twice', async () => {
    expect(await takeOut()).toMatchObject({ backup: id, carried: 1, found: 0 });
    expect(await takeOut(id)).toMatchObject({ carried: 0, found: 1 });
    const there = memoryStore();
    expect(await bringIn(there)).toMatchObject([{ cluster, backup: id, carried: 1, found: 0 }]);
    expect(await bringIn(there)).toMatchObject([{ carried: 0, found: 1 }]);
    expect((await content(there, masterKey)).equals(plain)).toBe(true);
    expect(await readManifest(there, cluster, id)).toEqual(await readManifest(store, cluster, id));
  });

  test('opens there with another master key, when its own is named', async () => {
    await takeOut();
    const [there, other] = [memoryStore(), randomBytes(32)];
    await expect(bringIn(there, other)).rejects.toMatchObject({
      type: failures.wrongMasterKey,
      message: expect.stringContaining('--sealed-under'),
    });
    expect(there.objects.size).toBe(0);
    await bringIn(there, other, [masterKey]);
    expect((await content(there, other)).equals(plain)).toBe(true);
  });

  test('has its manifest there last: what is broken off is no backup, and is gone on with', async () => {
    await takeOut();
    const there = memoryStore();
    const stop = new AbortController();
    const ringOf = async (name: string) => createKeyRing(there, [masterKey], name);
    const broken = importBackups(there, folder, { ringOf, signal: stop.signal, onObject: () => stop.abort(new Error('Ctrl-C')) });
    await expect(broken).rejects.toThrow('Ctrl-C');
    expect(await readManifest(there, cluster, id)).toBeUndefined();
    expect(await bringIn(there)).toMatchObject([{ carried: 0, found: 1 }]);
  });

  test('takes the place of nothing: another backup of its id is refused, both ways', async () => {
    await takeOut();
    const manifest = await readManifest(store, cluster, id);
    const other = JSON.stringify({ ...manifest, clusterId: 'e373f2f5-87b6-4053-9de8-9911950c30a9' });
    const there = memoryStore();
    await there.put(backupKeys.manifest(cluster, id), other);
    await expect(bringIn(there)).rejects.toMatchObject({ type: failures.refused });
    writeFileSync(file(backupKeys.manifest(cluster, id)), other);
    await expect(takeOut()).rejects.toMatchObject({ type: failures.refused });
  });

  test('is not taken from a damaged object, of which nothing stays in the folder; and mends that object', async () => {
    await takeOut();
    const intact = Buffer.from(store.objects.get(key) ?? '');
    const damaged = Buffer.from(intact);
    damaged[500] = (damaged[500] ?? 0) ^ 1;
    await store.put(key, damaged);
    const saved = readFileSync(file(key));
    rmSync(file(key));
    await expect(takeOut()).rejects.toMatchObject({ type: failures.objectDamaged, message: expect.stringContaining(key) });
    expect(await folder.list(`backups/${cluster}/${id}/`)).toEqual([backupKeys.manifest(cluster, id)]);
    writeFileSync(file(key), saved);
    expect(await bringIn(store)).toMatchObject([{ carried: 1 }]);
    expect(store.objects.get(key)?.equals(intact)).toBe(true);
  });
});

describe('what is amiss with the folder is named, and nothing is stored', () => {
  const wrong: Readonly<Record<string, { readonly spoil: () => void; readonly type: string; readonly says: string }>> = {
    'the wrong one': {
      spoil: () => rmSync(file('backups'), { recursive: true }),
      type: failures.invalidInput,
      says: 'holds no exported backup',
    },
    'no manifest yet': { spoil: () => rmSync(file(backupKeys.manifest(cluster, id))), type: failures.invalidInput, says: 'broken off' },
    'half a file': {
      spoil: () => writeFileSync(file(key), readFileSync(file(key)).subarray(0, 1000)),
      type: failures.objectDamaged,
      says: 'it has 1000 bytes',
    },
    'a flipped bit': {
      spoil: () => {
        const bytes = readFileSync(file(key));
        bytes[bytes.length - 9] = (bytes[bytes.length - 9] ?? 0) ^ 4;
        writeFileSync(file(key), bytes);
      },
      type: failures.objectDamaged,
      says: 'shard-0.4f2e19aa.rdb.sealed is not what the manifest describes',
    },
    'a missing file': { spoil: () => rmSync(file(key)), type: failures.objectMissing, says: 'is missing' },
    'a missing key': { spoil: () => rmSync(file(keyFile())), type: failures.secretMissing, says: 'is missing' },
    'an altered key': {
      spoil: () => writeFileSync(file(keyFile()), readFileSync(file(keyFile()), 'utf8').replace(/"sealed":"..../, '"sealed":"AAAA')),
      type: failures.wrongMasterKey,
      says: 'keys/orders/000001-',
    },
    'a manifest that names files of others': {
      spoil: () => {
        const name = file(backupKeys.manifest(cluster, id));
        writeFileSync(name, readFileSync(name, 'utf8').replace(key, `backups/${cluster}/${id}/../../../etc.sealed`));
      },
      type: failures.formatNotSupported,
      says: 'does not belong to it',
    },
  };

  test.each(Object.keys(wrong))('%s', async (name) => {
    await takeOut();
    const { spoil, type, says } = wrong[name] ?? { spoil: () => undefined, type: '', says: '' };
    spoil();
    const there = memoryStore();
    await expect(bringIn(there)).rejects.toMatchObject({ type, message: expect.stringContaining(says) });
    expect([...there.objects.keys()]).toEqual([]);
  });
});
