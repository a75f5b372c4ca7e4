import { describe, expect, test } from 'vitest';
import { type BackupManifest, type BackupSummary, backupManifest } from '../../config/backup.ts';
import { backupInput } from '../../config/operations.ts';
import { backupInputOf } from '../../starter/cli/commands/backup.ts';
import { instantText } from '../../starter/cli/option-values.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { renderBackup, renderBackups } from '../../starter/cli/view/backup-view.ts';

const plain = createStyle(false);
const id = '20261121T091700Z-0123abcd';
const summary: BackupSummary = {
  id,
  cluster: 'orders',
  held: false,
  startedAt: '2026-11-21T09:17:00.000Z',
  finishedAt: '2026-11-21T09:17:10.000Z',
  server: 'valkey 9.1.0',
  shards: 3,
  keys: 1_234_567,
  plainBytes: 10 * 1024 ** 2,
  storedBytes: 2 * 1024 ** 2,
};
const object = (number: string) => ({
  id: number.repeat(32),
  kek: '000001-0123456789abcdef',
  plainBytes: 100,
  plainSha256: 'a'.repeat(64),
  storedBytes: 50,
  storedSha256: 'b'.repeat(64),
});
const manifest: BackupManifest = backupManifest.parse({
  format: 'holdfast-backup-1',
  id,
  cluster: 'orders',
  clusterId: 'e373f2f5-87b6-4053-9de8-9911950c30a8',
  generation: 4,
  spec: { name: 'orders' },
  label: 'before the upgrade',
  startedAt: summary.startedAt,
  finishedAt: summary.finishedAt,
  shards: [
    {
      shard: 0,
      key: `backups/orders/${id}/shard-0.4f2e19aa.rdb.sealed`,
      object: object('1'),
      replid: 'c'.repeat(40),
      offset: 5000,
      slots: '0-16383',
      node: 'orders-0-1',
      server: { engine: 'valkey', version: '9.1.0' },
      database: 0,
      keys: 7,
      functions: 1,
      startedAt: summary.startedAt,
      tookMs: 900,
    },
  ],
});

describe('backups on the terminal', () => {
  test('only one that a server has loaded is called verified', () => {
    const states = (proof?: BackupSummary['proof']) => renderBackups('orders', [{ ...summary, ...(proof && { proof }) }], false, plain);
    const at = '2026-11-21T09:18:00.000Z';
    expect(states({ how: 'loaded', at })).toMatch(/ verified /);
    expect(states({ how: 'opened', at })).not.toContain('verified');
    expect(states()).toContain('unverified');
    expect(states()).toContain('1,234,567');
    expect(renderBackup({ ...manifest, verified: { how: 'opened', at, tookMs: 10, shards: [] } }, false, plain)).toMatch(
      /: opened\n.*verified +no; opened/s,
    );
  });

  test('none at all says how to make one', () => {
    expect(renderBackups('orders', [], false, plain)).toBe('There are no backups of orders.\n  next: holdfast backup create orders');
  });

  test('one is shown with its shards, and with where they lie when more is wanted', () => {
    const shown = renderBackup(manifest, false, plain);
    expect(shown).toMatch(/label +before the upgrade/);
    expect(shown).toMatch(/0 +orders-0-1 +7 +1 +100 B +50 B/);
    expect(shown).not.toContain('rdb.sealed');
    expect(renderBackup(manifest, true, plain)).toContain(`backups/orders/${id}/shard-0.4f2e19aa.rdb.sealed`);
  });
});

describe('what is asked for', () => {
  const common = { whenBusy: 'fail', output: 'table' } as const;
  test('the options become an input that the operation takes', () => {
    const input = backupInputOf('orders', {
      ...common,
      label: 'x',
      keepUntil: instantText('2027-01-01'),
      fromPrimary: true,
      verify: 'checksum',
    });
    expect(backupInput.parse(input)).toMatchObject({ keepUntil: '2027-01-01T00:00:00.000Z', fromPrimary: true, verify: 'checksum' });
    expect(backupInput.parse(backupInputOf('orders', common))).toMatchObject({ verify: 'load', fromPrimary: false, shardsAtOnce: 2 });
  });

  test.each(['tomorrow', '2027-13-01', '2027-01-01T12:00:00', '01.01.2027'])('%s is no time to keep it until', (text) => {
    expect(() => instantText(text)).toThrow('such as 2027-01-01');
  });
});
