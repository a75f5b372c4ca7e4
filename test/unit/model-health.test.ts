import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { JournalEntry } from '../../config/progress.ts';
import { summariseClusters } from '../../model/cluster-list.ts';
import { assess } from '../../model/health.ts';
import { isSettling, type Observation } from '../../model/observation.ts';
import { reportStatus } from '../../model/status-report.ts';
import {
  anySpec,
  emptyObservation,
  healthyObservation,
  knownAs,
  sentinelSpec,
  silenced,
  specOf,
  specWithSomeNodes,
  unknownCluster,
  withContainer,
  withMembers,
  withNode,
  withoutNodes,
  withSentinel,
} from './model-observations.ts';

const spec = specOf();
const healthy = healthyObservation(spec);
const sentinel = sentinelSpec();
const watched = healthyObservation(sentinel);

test('a cluster that is exactly as its spec wants it is healthy, without any finding', () => {
  fc.assert(
    fc.property(anySpec(), (any) => {
      expect(assess(any, healthyObservation(any))).toMatchObject({ verdict: 'healthy', findings: [] });
    }),
  );
});

describe('nodes that are all there', () => {
  const [replica = '', primary = ''] = ['replica', 'primary'].map(
    (role) => healthy.nodes.find((node) => node.answers && node.role === role)?.name,
  );
  const [view] = healthy.views;
  const down = withNode(healthy, replica, { replication: { offset: 1, replicas: 0, linkUp: false } });

  test.each<[string, Observation]>([
    ['lack a link', withNode(healthy, replica, { unlinked: ['a'.repeat(40)] })],
    ['suspect one another', withNode(healthy, primary, { failing: ['a'.repeat(40)] })],
    ['have another view', { ...healthy, views: view === undefined ? [] : [view, { ...view, digest: 'v2' }] }],
    ['say that the cluster fails', withNode(healthy, primary, { clusterState: 'fail' })],
    ['do not follow their primary', down],
  ])('may agree a moment later when they %s', (_, seen) => {
    expect(isSettling(seen)).toBe(true);
  });

  test.each<[string, Observation]>([
    ['agree', healthy],
    ['agree, with sentinels', watched],
    ['run no more', { ...withoutNodes(down, [primary], false), containers: down.containers }],
    ['do not answer', silenced(down, primary)],
    ['load', withNode(down, primary, { loading: true })],
    ['copy their primary', withNode(healthy, replica, { replication: { offset: 1, replicas: 0, linkUp: false, syncing: true } })],
    ['are none', emptyObservation(spec)],
  ])('are not looked at again when they %s', (_, seen) => {
    expect(isSettling(seen)).toBe(false);
  });
});

test('a cluster of which any node is missing is not healthy, and each missing node is named', () => {
  fc.assert(
    fc.property(specWithSomeNodes, fc.boolean(), ({ spec: any, some }, withVolumes) => {
      const gone = some.map((place) => place.name);
      const { verdict, findings } = assess(any, withoutNodes(healthyObservation(any), gone, withVolumes));
      expect(findings.filter((finding) => finding.code === 'node-missing').map((finding) => finding.subject)).toEqual(gone);
      expect(verdict === 'healthy').toBe(gone.length === 0);
    }),
  );
});

test('where a cluster is on record and nothing runs, the verdict is that it is down', () => {
  expect(assess(spec, emptyObservation(spec))).toMatchObject({ verdict: 'down', sound: false });
});

const brokenPrimary = (observation: Observation) => withNode(observation, 'orders-0-0', { replication: { offset: 1, replicas: 0 } });

describe('what a restore in place has left', () => {
  const left = {
    ...withContainer(healthy, 'orders-1-1', { state: 'exited' }),
    unfinished: { replacement: 'abcd', leaders: ['orders-0-0'] },
  };

  test('is told first, and no other advice is given for its nodes', () => {
    const { verdict, sound, findings } = assess(spec, left);
    expect([verdict, sound]).toEqual(['down', false]);
    expect(findings.map(({ code }) => code).slice(0, 2)).toEqual(['half-replaced', 'node-stopped']);
    expect(new Set(findings.slice(0, 2).map(({ next }) => next))).toEqual(
      new Set(['holdfast restore orders --latest, without --into: it puts back what the cluster had before, and does nothing else']),
    );
  });

  test('does not keep the restore itself from ending', () => {
    expect(assess(spec, { ...healthy, unfinished: left.unfinished }).sound).toBe(true);
  });

  test('is only waited for while a restore works on it, and is ended forwards when all data was there', () => {
    const holder = { workflowId: 'w', runId: 'r', operation: 'restore' };
    expect(reportStatus(knownAs(spec), left, [], holder).findings[0]).toMatchObject({ next: 'wait until the restore has ended' });
    const committed = { ...left, unfinished: { ...left.unfinished, committed: true as const } };
    expect(reportStatus(knownAs(spec), committed, [], undefined).findings[0]?.next).toContain('it ends what was begun');
  });
});

describe('each thing that can be wrong is found under its code', () => {
  test.each<[string, string, 'down' | 'degraded' | 'healthy', Observation]>([
    ['node-stopped', 'orders-1-1', 'degraded', withContainer(healthy, 'orders-1-1', { state: 'exited' })],
    ['node-silent', 'orders-1-1', 'degraded', silenced(healthy, 'orders-1-1')],
    [
      'views-differ',
      'orders-2-0',
      'degraded',
      { ...healthy, views: [...healthy.views, { digest: 'v2', seenBy: ['orders-2-0'], members: [] }] },
    ],
    [
      'members',
      'orders',
      'degraded',
      {
        ...healthy,
        views: healthy.views.map((view) => ({
          ...view,
          members: view.members.filter((m) => m.role === 'primary' || m.slots.length > 0 || m.address !== '10.213.16.17'),
        })),
      },
    ],
    ['member-flags', 'orders-0-1', 'degraded', withMembers(healthy, (m) => (m.address === '10.213.16.17' ? { ...m, flags: ['fail'] } : m))],
    ['links', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { unlinked: ['x'] })],
    ['retired', 'orders-0-1', 'degraded', withNode(healthy, 'orders-0-1', { parameters: { 'cluster-replica-no-failover': 'yes' } })],
    ['links', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { failing: ['x'] })],
    ['slots-open', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { openSlots: ['[5->-x]'] })],
    [
      'slots-unassigned',
      'orders',
      'down',
      withMembers(healthy, (m) => ({ ...m, slots: m.slots.map(([from, to]) => [from, to === 16383 ? 16382 : to]) })),
    ],
    ['cluster-state', 'orders-0-0', 'down', withNode(healthy, 'orders-0-0', { clusterState: 'fail' })],
    [
      'empty-primary',
      'orders-0-1',
      'healthy',
      withMembers(healthy, (m) => (m.address === '10.213.16.17' ? { ...m, role: 'primary', primaryId: '' } : m)),
    ],
    ['replica-link', 'orders-0-1', 'degraded', withNode(healthy, 'orders-0-1', { replication: { offset: 1, replicas: 0, linkUp: false } })],
    ['replicas', 'orders-0-0', 'degraded', brokenPrimary(healthy)],
    ['loading', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { loading: true })],
    ['persistence', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { persistenceOk: false })],
    ['memory', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { memoryUsedBytes: 85, memoryMaxBytes: 100 })],
    ['memory', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { memoryUsedBytes: 95, memoryMaxBytes: 100 })],
    ['version', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { version: '9.10.1' })],
    ['version', 'orders-0-0', 'degraded', withNode(healthy, 'orders-0-0', { engine: 'redis' })],
  ])('%s of %s makes it %s', (code, subject, verdict, observation) => {
    const health = assess(spec, observation);
    expect(health.findings.map((finding) => `${finding.code} ${finding.subject}`)).toContain(`${code} ${subject}`);
    expect(health.verdict).toBe(verdict);
    for (const finding of health.findings) expect(finding.next).not.toBe('');
  });

  test.each<[string, string, 'down' | 'degraded', Observation]>([
    ['no-primary', 'orders', 'down', withNode(watched, 'orders-0-0', { role: 'replica' })],
    ['two-primaries', 'orders-0-0, orders-0-1', 'down', withNode(watched, 'orders-0-1', { role: 'primary' })],
    ['sentinel-primary', 'orders-sentinel-1', 'degraded', withSentinel(watched, 'orders-sentinel-1', { primaryAddress: '10.0.0.9' })],
    ['sentinel-quorum', 'orders-sentinel-1', 'degraded', withSentinel(watched, 'orders-sentinel-1', { quorum: 'NOQUORUM' })],
    ['sentinel-peers', 'orders-sentinel-1', 'degraded', withSentinel(watched, 'orders-sentinel-1', { others: 1 })],
    ['sentinel-replicas', 'orders-sentinel-1', 'degraded', withSentinel(watched, 'orders-sentinel-1', { replicas: 0 })],
    ['sentinels', 'orders', 'degraded', silenced(silenced(watched, 'orders-sentinel-1'), 'orders-sentinel-2')],
    ['node-silent', 'orders-sentinel-1', 'degraded', silenced(watched, 'orders-sentinel-1')],
    ['replicas', 'orders-0-0', 'degraded', brokenPrimary(watched)],
  ])('%s of %s makes a sentinel setup %s', (code, subject, verdict, observation) => {
    const health = assess(sentinel, observation);
    expect(health.findings.map((finding) => `${finding.code} ${finding.subject}`)).toContain(`${code} ${subject}`);
    expect(health.verdict).toBe(verdict);
  });
});

test('the worst comes first, and is the headline', () => {
  const health = assess(spec, withNode(withNode(healthy, 'orders-2-1', { loading: true }), 'orders-0-0', { clusterState: 'fail' }));
  expect(health.findings.map((finding) => finding.severity)).toEqual(['critical', 'warning']);
  expect(health.headline).toBe('orders-0-0: cluster_state is not ok');
});

test('a full memory is told, but does not make a cluster unsound: no operation can mend it by being undone', () => {
  const full = withNode(healthy, 'orders-0-0', { memoryUsedBytes: 95, memoryMaxBytes: 100 });
  expect(assess(spec, full)).toMatchObject({ verdict: 'degraded', sound: true });
});

test('a replica that copies its primary is at work, not cut off', () => {
  const copying = withNode(healthy, 'orders-0-1', { replication: { offset: 0, linkUp: false, syncing: true, replicas: 0 } });
  expect(assess(spec, copying).findings.map(({ code }) => code)).toEqual(['replica-syncing']);
});

test('a failover changes nothing about health', () => {
  const [a, b] = ['orders-0-0', 'orders-0-1'].map((name) => healthy.nodes.find((node) => node.name === name));
  if (a?.answers !== true || b?.answers !== true) throw new Error('the test lacks a node');
  const moved = withMembers(
    withNode(withNode(healthy, a.name, { role: 'replica', replication: b.replication }), b.name, {
      role: 'primary',
      replication: a.replication,
    }),
    (member) =>
      member.nodeId === a.nodeId
        ? { ...member, role: 'replica', primaryId: b.nodeId, slots: [] }
        : member.nodeId === b.nodeId
          ? { ...member, role: 'primary', primaryId: '', slots: [[0, 5460]] }
          : member,
  );
  expect(assess(spec, moved)).toMatchObject({ verdict: 'healthy', findings: [] });
});

describe('the status report', () => {
  const entry: JournalEntry = {
    workflowId: 'w',
    runId: 'r',
    operation: 'provision',
    by: 'me',
    startedAt: '',
    endedAt: '',
    outcome: 'done',
    summary: '',
  };

  test('has every node of every shard once, all slots, and what is on record', () => {
    fc.assert(
      fc.property(anySpec(), (any) => {
        const report = reportStatus(knownAs(any), healthyObservation(any), [entry], undefined);
        expect(report.shards.flatMap((shard) => shard.nodes)).toHaveLength(any.shards * (1 + any.replicasPerShard));
        expect(report.sentinels).toHaveLength(any.sentinels);
        expect(report.shards.reduce((sum, shard) => sum + shard.slotCount, 0)).toBe(any.mode === 'cluster' ? 16384 : 0);
        expect(report).toMatchObject({ verdict: 'healthy', generation: 1, spec: any, journal: [entry] });
      }),
    );
  });

  test('lists what is missing beside what is there', () => {
    const report = reportStatus(knownAs(spec), withoutNodes(healthy, ['orders-0-1'], false), [], undefined);
    expect(report.shards[0]?.nodes.map(({ name, state }) => `${name} ${state}`)).toEqual(['orders-0-0 running', 'orders-0-1 missing']);
    const two = reportStatus(knownAs(sentinel), withoutNodes(watched, ['orders-sentinel-2'], false), [], undefined);
    expect(two.sentinels.map(({ name, state, role }) => `${name} ${state} ${role}`)).toEqual([
      'orders-sentinel-0 running sentinel',
      'orders-sentinel-1 running sentinel',
      'orders-sentinel-2 missing sentinel',
    ]);
  });

  test.each<[string, Observation]>([
    ['stopped', withContainer(healthy, 'orders-0-1', { state: 'exited' })],
    ['restarting', withContainer(healthy, 'orders-0-1', { state: 'restarting' })],
    ['silent', silenced(healthy, 'orders-0-1')],
  ])('tells that a node is %s', (state, observation) => {
    expect(reportStatus(knownAs(spec), observation, [], undefined).shards[0]?.nodes[1]).toMatchObject({ name: 'orders-0-1', state });
  });

  test('tells how far a replica lags behind, and never less than nothing', () => {
    const lag = (offset: number) => {
      const [primary] = healthy.nodes;
      const seen = withNode(healthy, 'orders-0-1', {
        replication: { offset, replicas: 0, linkUp: true, primaryAddress: primary?.address ?? '' },
      });
      return reportStatus(knownAs(spec), seen, [], undefined).shards[0]?.nodes[1]?.lagBytes;
    };
    expect(lag(900)).toBe(100);
    expect(lag(1100)).toBe(0);
  });

  test('names the operation that holds the lock', () => {
    const holder = { workflowId: 'w', runId: 'r', operation: 'configure', alive: true };
    expect(reportStatus(knownAs(spec), healthy, [], holder).running).toEqual({ workflowId: 'w', runId: 'r', operation: 'configure' });
  });

  test('of a cluster that is not there says so, and of containers that nobody knows too', () => {
    expect(reportStatus(unknownCluster, emptyObservation(spec), [], undefined)).toMatchObject({ verdict: 'absent', findings: [] });
    const orphaned = reportStatus(unknownCluster, healthy, [], undefined);
    expect(orphaned).toMatchObject({ verdict: 'degraded', findings: [{ code: 'orphaned' }] });
    expect(orphaned.shards).toHaveLength(3);
  });
});

describe('the list of clusters', () => {
  test('joins what is on record with what engines hold, by name', () => {
    const found = [
      { cluster: 'stray', running: 1, containers: 2 },
      { cluster: 'orders', running: 6, containers: 6 },
    ];
    const list = summariseClusters(
      [
        { spec, generation: 3 },
        { spec: specOf({ name: 'gone' }), generation: 1 },
      ],
      [{ host: 'local', clusters: found }],
    );
    expect(list.map(({ cluster, state, running, containers }) => ({ cluster, state, running, containers }))).toEqual([
      { cluster: 'gone', state: 'orphaned', running: 0, containers: 0 },
      { cluster: 'orders', state: 'kept', running: 6, containers: 6 },
      { cluster: 'stray', state: 'orphaned', running: 1, containers: 2 },
    ]);
    expect(list[1]).toMatchObject({ engine: 'valkey', version: '9.1', shards: 3, generation: 3 });
  });

  test('tells a cluster whose host cannot be asked from one that has nothing there', () => {
    const [only] = summariseClusters([{ spec, generation: 1 }], [{ host: 'local', clusters: undefined }]);
    expect(only?.state).toBe('unreachable');
  });

  test('is empty when there is nothing', () => {
    expect(summariseClusters([], [])).toEqual([]);
  });
});
