import { expect, test } from 'vitest';
import type { ShardArchiveProgress } from '../../config/archive.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import type { StatusReport } from '../../config/status.ts';
import { asHeardAt, withArchive } from '../../model/archive-status.ts';

const spec = clusterSpec.parse({ name: 'orders', engine: 'valkey', version: '9.1', pitr: { enabled: true } });
const NOW = Date.parse('2026-11-21T10:00:00Z');
const report: StatusReport = {
  cluster: 'orders',
  verdict: 'healthy',
  headline: '',
  observedAt: '',
  findings: [],
  shards: [],
  sentinels: [],
  journal: [],
};
const said = (shard: number, more: Partial<ShardArchiveProgress> = {}): ShardArchiveProgress => ({
  shard,
  atMs: NOW - 500,
  node: 'n',
  archivedToMs: NOW - 900,
  segments: 1,
  bytes: 1,
  ...more,
});
const after = (shards: readonly ShardArchiveProgress[], runningSinceMs: number | undefined = NOW - 3_600_000) =>
  withArchive(report, spec, { ...(runningSinceMs === undefined ? {} : { runningSinceMs }), shards }, NOW);
const codes = (found: StatusReport) => found.findings.map(({ code, subject }) => `${code} ${subject}`);

test('an archive that goes on is told with how far it is, and no finding', () => {
  const found = after([said(0), said(1, { waitingSinceMs: NOW - 800 }), said(2)]);
  expect(found.findings).toEqual([]);
  expect(found.archive?.shards.map(({ lagMs }) => lagMs)).toEqual([0, 800, 0]);
  expect(found.archive?.shards[0]?.archivedTo).toBe('2026-11-21T09:59:59.100Z');
});

test('writes that wait too long are told, and why', () => {
  const problem = { why: 'the object store does not answer', sinceMs: NOW - 60_000 };
  const found = after([said(0, { waitingSinceMs: NOW - 60_000, problem }), said(1), said(2)]);
  expect(codes(found)).toEqual(['archive-behind shard 0']);
  expect(found.findings[0]?.message).toMatch(/wait for 60 s.*object store does not answer/);
});

test('a shard that nobody follows is told, also when its last word is old, but not of an archive that has just begun', () => {
  const { node: _, ...unfollowed } = said(0, { problem: { why: 'no primary', sinceMs: NOW - 90_000 } });
  expect(codes(after([unfollowed, said(1, { atMs: NOW - 40_000 })]))).toEqual([
    'archive-behind shard 0',
    'archive-behind shard 1',
    'archive-behind shard 2',
  ]);
  expect(codes(after([], NOW - 2000))).toEqual([]);
});

test('an archive that is asked for and does not run is told, and a clock that cannot be written', () => {
  expect(codes(withArchive(report, spec, { shards: [] }, NOW))).toEqual(['archive-stopped orders']);
  expect(codes(after([said(0), said(1, { clock: 'OOM' }), said(2)]))).toEqual(['archive-clock shard 1']);
});

test.each([
  ['slow', -3_600_000],
  ['fast', 3_600_000],
])('a worker whose clock is an hour %s is told by the clock of who heard it', (_, offMs) => {
  const problem = { why: 'the object store does not answer', sinceMs: NOW - 60_000 + offMs };
  const words = (more: Partial<ShardArchiveProgress> = {}) => said(0, { atMs: NOW - 500 + offMs, ...more });
  const heard = (one: ShardArchiveProgress, agoMs = 500) => after([asHeardAt(one, NOW - agoMs), said(1), said(2)]);
  expect(heard(words()).findings).toEqual([]);
  expect(heard(words({ waitingSinceMs: NOW - 800 + offMs })).archive?.shards[0]?.lagMs).toBe(800);
  expect(codes(heard(words({ waitingSinceMs: NOW - 60_000 + offMs, problem })))).toEqual(['archive-behind shard 0']);
  expect(codes(heard(words(), 40_000)), 'it is silent').toEqual(['archive-behind shard 0']);
});
