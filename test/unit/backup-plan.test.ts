import { describe, expect, test } from 'vitest';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { backupInput } from '../../config/operations.ts';
import { scheduledFromPrimary } from '../../model/backup-source.ts';
import type { Observation } from '../../model/observation.ts';
import { planBackup, slotsThatMoved } from '../../model/plan-backup.ts';
import { CLUSTER_ID, healthyObservation, withNode } from './model-observations.ts';

const spec = clusterSpec.parse({ name: 'orders', engine: 'valkey', version: '9.1', replicasPerShard: 2 });
const known = { spec, clusterId: CLUSTER_ID, generation: 1, source: 'keeper' as const };
const healthy = healthyObservation(spec);
const planOf = (seen: Observation, more: object = {}) => planBackup(spec, known, backupInput.parse({ cluster: 'orders', ...more }), seen);
const sourcesOf = (seen: Observation, more: object = {}) => planOf(seen, more).shards.map(({ source }) => source.name);
const replication = { offset: 1000, linkUp: true, replicas: 0, primaryAddress: addressOf('orders-0-0') };
function addressOf(name: string): string {
  return healthy.nodes.find((node) => node.name === name)?.address ?? '';
}

describe('the source of a shard', () => {
  test('is a replica, the same at every look', () => {
    expect(sourcesOf(healthy)).toEqual(['orders-0-1', 'orders-1-1', 'orders-2-1']);
    const later = withNode(healthy, 'orders-0-2', { replication: { ...replication, offset: 5000 } });
    expect(sourcesOf(later)).toEqual(sourcesOf(healthy));
    expect(planOf(later).steps).toEqual(planOf(healthy).steps);
  });

  test.each([
    ['loads', { loading: true }],
    ['has lost its primary', { replication: { ...replication, linkUp: false } }],
    ['copies the data of its primary', { replication: { ...replication, syncing: true } }],
    ['follows a node that leads no more', { replication: { ...replication, primaryAddress: '10.9.9.9' } }],
  ])('is no replica that %s', (_, change) => {
    expect(sourcesOf(withNode(healthy, 'orders-0-1', change))[0]).toBe('orders-0-2');
  });

  test('is the replica that lags least, when another is far behind', () => {
    const ahead = withNode(healthy, 'orders-0-0', { replication: { offset: 100 * 1024 ** 2, replicas: 2 } });
    const near = withNode(ahead, 'orders-0-2', { replication: { ...replication, offset: 99.9 * 1024 ** 2 } });
    expect(sourcesOf(near)[0]).toBe('orders-0-2');
  });

  test('is the primary only where there is no replica, and when that is allowed', () => {
    const alone = ['orders-0-1', 'orders-0-2'].reduce((seen, name) => withNode(seen, name, { loading: true }), healthy);
    expect(planOf(alone).refusals).toEqual([expect.stringMatching(/shard 0 has no healthy replica.*--from-primary/)]);
    expect(sourcesOf(alone, { fromPrimary: true })).toEqual(['orders-0-0', 'orders-1-1', 'orders-2-1']);
    expect(sourcesOf(healthy, { fromPrimary: true })).toEqual(sourcesOf(healthy));
    expect(planOf(alone, { fromPrimary: true }).steps[0]).toMatchObject({
      change: expect.stringContaining('the primary'),
      cost: expect.stringContaining('clients wait'),
    });
  });
});

test('a scheduled backup may read a primary where the spec says so, or asks for no replicas', () => {
  const of = (replicasPerShard: number, backup: object = {}) =>
    scheduledFromPrimary(clusterSpec.parse({ ...spec, replicasPerShard, backup }));
  expect([of(0), of(1), of(2)]).toEqual([true, false, false]);
  expect([of(0, { fromPrimary: false }), of(1, { fromPrimary: true })]).toEqual([false, true]);
});

test('a node that is down does not keep a cluster from being backed up, and slots that are open do', () => {
  const down = { ...healthy, nodes: healthy.nodes.filter(({ name }) => name !== 'orders-1-1') };
  expect(planOf(down).refusals).toEqual([]);
  expect(sourcesOf(down)[1]).toBe('orders-1-2');
  expect(planOf(withNode(healthy, 'orders-1-0', { openSlots: ['[1->-a]'] })).refusals).toEqual([
    expect.stringContaining('holdfast repair orders'),
  ]);
});

test('sentinel mode is one shard without slots', () => {
  const sentinel = clusterSpec.parse({ name: 'cache', engine: 'redis', version: '7.0', mode: 'sentinel' });
  const { shards, refusals } = planBackup(
    sentinel,
    { ...known, spec: sentinel },
    backupInput.parse({ cluster: 'cache' }),
    healthyObservation(sentinel),
  );
  expect(refusals).toEqual([]);
  expect(shards).toMatchObject([{ shard: 0, slots: '', source: { name: 'cache-0-1', role: 'replica' } }]);
});

test('slots that have moved since are noticed', () => {
  const stored = planOf(healthy).shards;
  expect(slotsThatMoved(spec, known, stored, healthy)).toEqual([]);
  expect(slotsThatMoved(spec, known, [...stored.slice(0, 1), { shard: 1, slots: '0-1' }], healthy)).toEqual([1]);
});
