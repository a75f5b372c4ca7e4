import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BackupManifest, backupId, backupManifest, newBackupId } from '../../config/backup.ts';
import { backupKeys, parseSegmentKey } from '../../config/names.ts';

const digest = 'ab'.repeat(32);
const at = '2026-11-21T09:17:00.123Z';

const shard = (number: number, slots: string): BackupManifest['shards'][number] => ({
  shard: number,
  key: `backups/orders/20261121T091700Z-0123abcd/shard-${number}.00.rdb.sealed`,
  object: {
    id: String(number).repeat(32),
    kek: '000001-0123456789abcdef',
    plainBytes: 10,
    plainSha256: digest,
    storedBytes: 20,
    storedSha256: digest,
  },
  replid: 'c'.repeat(40),
  offset: 4711,
  slots,
  node: `orders-${number}-1`,
  server: { engine: 'valkey', version: '9.1.0' },
  database: 0,
  keys: 3,
  functions: 0,
  startedAt: at,
  tookMs: 12,
});

const manifest = (change: Partial<BackupManifest> = {}): BackupManifest => ({
  format: 'holdfast-backup-1',
  id: '20261121T091700Z-0123abcd',
  cluster: 'orders',
  clusterId: '0f8fad5b-d9cb-469f-a165-70867728950e',
  generation: 4,
  spec: { name: 'orders', engine: 'valkey', version: '9.1', aFieldOfLater: true },
  startedAt: at,
  finishedAt: at,
  shards: [shard(0, '0-8191'), shard(1, '8192-16383')],
  ...change,
});

const problems = (value: unknown): string =>
  backupManifest
    .safeParse(value)
    .error?.issues.map(({ message }) => message)
    .join('; ') ?? 'none';

describe('the manifest of a backup', () => {
  test('comes back from JSON as it was, with a spec of any version', () => {
    const whole = manifest({
      label: 'before the move',
      keepUntil: at,
      hold: { by: 'kim', reason: 'audit', since: at },
      verified: {
        how: 'loaded',
        at,
        tookMs: 5,
        server: { engine: 'redis', version: '8.0.2' },
        shards: [{ shard: 0, keys: 3, functions: 0 }],
      },
    });
    for (const one of [manifest(), whole]) expect(backupManifest.parse(JSON.parse(JSON.stringify(one)))).toEqual(one);
  });

  test('allows shards without slots', () => {
    expect(problems(manifest({ shards: [shard(0, ''), shard(1, ''), shard(2, '0-16383')] }))).toBe('none');
  });

  test.each([
    ['of another version', { format: 'holdfast-backup-2' }],
    ['with a field that nobody knows', { colour: 'blue' }],
    ['without shards', { shards: [] }],
    ['with a shard twice', { shards: [shard(0, '0'), shard(0, '1')] }],
    ['with shards in another order', { shards: [shard(1, '0'), shard(0, '1')] }],
    ['with a slot that two shards have', { shards: [shard(0, '0-100'), shard(1, '50-60')] }],
    ['with one object for two shards', { shards: [shard(0, '0'), { ...shard(1, '1'), object: shard(0, '').object }] }],
    ['with a time that is none', { startedAt: 'yesterday' }],
    ['with an id of another form', { id: 'latest' }],
  ])('%s is refused', (_, change) => {
    expect(problems({ ...manifest(), ...change })).not.toBe('none');
  });
});

test('ids of backups sort as they were begun', () => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date('2099-01-01'), noInvalidDate: true }), fc.nat(1e9), (date, secondsLater) => {
      const later = new Date(Math.min(date.getTime() + (1 + secondsLater) * 1000, Date.parse('2200-01-01')));
      const ids = [newBackupId(date, 'ffffffff'), newBackupId(later, '00000000')];
      for (const id of ids) expect(backupId.safeParse(id).success).toBe(true);
      expect(ids.toSorted()).toEqual(ids);
    }),
  );
  expect(newBackupId(new Date(at), '0123abcd')).toBe('20261121T091700Z-0123abcd');
});

test('keys of segments sort as their offsets do, and say what they were made of', () => {
  const offset = fc.maxSafeNat();
  const ms = fc.nat(9_999_999_999_999);
  const segment = fc.record({ startOffset: offset, endOffset: offset, firstMs: ms, lastMs: ms }).map((numbers) => ({
    cluster: 'orders',
    shard: 3,
    timeline: '20261121T091700Z-cccccccc',
    stream: '0123abcd',
    ...numbers,
  }));
  fc.assert(
    fc.property(segment, segment, (one, two) => {
      expect(parseSegmentKey(backupKeys.segment(one))).toEqual(one);
      if (one.startOffset < two.startOffset) expect(backupKeys.segment(one) < backupKeys.segment(two)).toBe(true);
    }),
  );
  for (const key of [
    'archive/orders/3/0001/readme',
    backupKeys.manifest('orders', 'x'),
    `${backupKeys.timeline('orders', 3, 't')}1-2-3-4.resp.sealed`,
  ])
    expect(parseSegmentKey(key)).toBeUndefined();
});
