import { describe, expect, test } from 'vitest';
import type { RecoveryWindow } from '../../config/archive.ts';
import { createStyle } from '../../starter/cli/terminal.ts';
import { renderRecoverySummaries } from '../../starter/cli/view/recovery-summaries-view.ts';
import { type RecoveryQuestions, summarizeRecovery, summaryOf } from '../../starter/client/recovery-summaries.ts';

const at = (time: string) => `2026-11-20T${time}.000Z`;
const NOW = Date.parse(at('12:00:00'));
const spans = [
  { from: at('10:00:00'), to: at('10:30:00') },
  { from: at('11:00:00'), to: at('11:10:00') },
  { from: at('11:10:05'), to: at('11:59:58') },
];
const away = { from: at('10:30:00'), to: at('11:00:00'), why: 'it was away' };
const window = (cluster: string, more: Partial<RecoveryWindow> = {}): RecoveryWindow => ({
  cluster,
  spans,
  earliest: at('10:00:00'),
  latest: at('11:59:58'),
  shards: [0, 1].map((shard) => ({ shard, spans, gaps: [away], dropped: [] })),
  ...more,
});
const nothing = (cluster: string): RecoveryWindow => ({ cluster, spans: [], shards: [] });
const named = (...names: readonly string[]) => names.map((cluster) => ({ cluster }));

/** Three that are there, of which one cannot be looked at; and three that are gone. */
const questions: RecoveryQuestions = {
  list: async () => named('orders', 'idle', 'broken'),
  keys: async () => ({ clusters: named('orders', 'archived-once', 'backed-up-once', 'nothing-left') }),
  async recoveryWindow(cluster) {
    if (cluster === 'broken') throw new Error('its begin.json cannot be read\nat all');
    return cluster === 'orders' || cluster === 'archived-once' ? window(cluster) : nothing(cluster);
  },
  hasBackup: async (cluster) => cluster === 'backed-up-once',
};

describe('where all clusters can be brought back to', () => {
  test('is told of those that are there, and of those that are gone and have something; one that cannot be looked at says why', async () => {
    const all = await summarizeRecovery(questions);
    expect(all).toMatchObject([
      { cluster: 'archived-once', gone: true, earliest: at('10:00:00'), amiss: [] },
      { cluster: 'backed-up-once', gone: true, amiss: [expect.stringContaining('only its backups')] },
      { cluster: 'broken', gone: false, amiss: ['its begin.json cannot be read'] },
      { cluster: 'idle', gone: false, amiss: [expect.stringContaining('there is no backup')] },
      { cluster: 'orders', gone: false, latest: at('11:59:58'), amiss: [] },
    ]);
  });

  test('has each gap of the cluster once, with the reason that its shards know', () => {
    expect(summaryOf(window('orders'), false).gaps).toEqual([
      away,
      { from: at('11:10:00'), to: at('11:10:05'), why: expect.stringContaining('slots were on their way') },
    ]);
  });

  test('says what is amiss: no moment, a shard without any, an archive that has ended, writes that were dropped', () => {
    const ended = { from: at('11:59:58'), why: 'the archive was switched off' };
    const [first, second] = [
      { shard: 0, spans, gaps: [ended], dropped: [{ offset: 9, bytes: 20 }] },
      { shard: 1, spans: [], gaps: [ended], dropped: [] },
    ];
    const bad: RecoveryWindow = { cluster: 'orders', spans: [], shards: [first, second] };
    const lost = 'failovers dropped 20 bytes of writes';
    const none = ['no moment to which every shard can be brought back', 'nothing can be brought back of shard 1'];
    expect(summaryOf(bad, false)).toEqual({ cluster: 'orders', gone: false, gaps: [], amiss: [...none, ended.why, lost] });
    expect(summaryOf(bad, true).amiss, 'of one that is gone it says enough').toEqual([...none, lost]);
  });

  test('is a line each on the terminal, and says when an archive fell behind', async () => {
    const all = await summarizeRecovery(questions);
    const lines = renderRecoverySummaries(all, NOW, createStyle(false)).split('\n');
    expect(lines).toHaveLength(6);
    expect(lines[0]).toMatch(/^CLUSTER +EARLIEST +LATEST +GAPS +AMISS$/);
    expect(lines[1]).toMatch(/^archived-once +2026-11-20T10:00:00\.000Z +2026-11-20T11:59:58\.000Z +2 +the cluster is gone$/);
    expect(lines[2]).toMatch(/^backed-up-once +- +- +- +the cluster is gone; nothing is archived: only its backups/);
    expect(lines[5]).toMatch(/^orders .* 2 +-$/);
    const later = renderRecoverySummaries(all, NOW + 3_600_000, createStyle(false)).split('\n');
    expect(later[5]).toMatch(/^orders .* 2 +nothing of the last 1h 00m$/);
    expect(later[1]).toBe(lines[1]);
    expect(renderRecoverySummaries([], NOW, createStyle(false))).toContain('There are no clusters');
  });
});
