import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { type DeprovisionInput, deprovisionInput } from '../../config/operations.ts';
import { nodeIdOf, placesOf } from '../../model/layout.ts';
import type { Observation } from '../../model/observation.ts';
import { configureSteps, planConfigure } from '../../model/plan-configure.ts';
import { deprovisionSteps, planDeprovision } from '../../model/plan-deprovision.ts';
import { planProvision, provisionSteps } from '../../model/plan-provision.ts';
import {
  anySpec,
  CLUSTER_ID,
  emptyObservation,
  healthyObservation,
  knownAs,
  OTHER_CLUSTER_ID,
  sentinelSpec,
  silenced,
  specOf,
  specWithSomeNodes,
  unknownCluster,
  withContainer,
  withMembers,
  withNode,
  withoutNodes,
} from './model-observations.ts';

const names = (plan: { readonly steps: readonly { readonly name: string }[] }) => plan.steps.map((step) => step.name);

describe('planning a provision', () => {
  test('on a healthy cluster that the keeper has gives no steps and no refusals', () => {
    fc.assert(
      fc.property(anySpec(), (spec) => {
        const plan = planProvision(spec, knownAs(spec), healthyObservation(spec));
        expect(plan).toMatchObject({ steps: [], refusals: [], nodes: [], makesSecrets: false, makesNetwork: false, accepts: false });
      }),
    );
  });

  test('from nothing makes everything, each step under a name of its own', () => {
    fc.assert(
      fc.property(anySpec(), (spec) => {
        const plan = planProvision(spec, unknownCluster, emptyObservation(spec));
        expect(plan.refusals).toEqual([]);
        expect(plan.nodes).toEqual(placesOf(spec));
        expect(plan.newNodes.every((node) => node.newVolume)).toBe(true);
        expect(plan).toMatchObject({ makesSecrets: true, makesNetwork: true, accepts: true });
        expect(new Set(names(plan)).size).toBe(plan.steps.length);
        expect(names(plan).at(-1)).toBe(provisionSteps.accept);
      }),
    );
  });

  test('with some containers gone starts exactly those, with the volumes that are there', () => {
    fc.assert(
      fc.property(specWithSomeNodes, ({ spec, some }) => {
        const gone = some.map((place) => place.name);
        const plan = planProvision(spec, knownAs(spec), withoutNodes(healthyObservation(spec), gone, false));
        expect(plan.refusals).toEqual([]);
        expect(plan.nodes.map((node) => node.name)).toEqual(gone);
        // What joined an accepted cluster is not taken away again: it may hold the only copy of something by then.
        expect(plan.newNodes).toEqual([]);
        expect(names(plan).filter((name) => name.startsWith('start '))).toEqual(gone.map((name) => `start ${name}`));
        expect(names(plan).includes(provisionSteps.form)).toBe(gone.length > 0);
      }),
    );
  });

  test('with some containers stopped starts exactly those, and would remove none of them on failure', () => {
    fc.assert(
      fc.property(specWithSomeNodes, fc.constantFrom('exited', 'created', 'restarting', 'other'), ({ spec, some }, state) => {
        const stopped = some.reduce<Observation>((seen, { name }) => withContainer(seen, name, { state }), healthyObservation(spec));
        const plan = planProvision(spec, knownAs(spec), stopped);
        expect(plan.nodes).toEqual(some);
        expect(plan.newNodes).toEqual([]);
      }),
    );
  });

  test('of a half-made cluster without a record completes it', () => {
    fc.assert(
      fc.property(specWithSomeNodes, ({ spec, some }) => {
        const half = withoutNodes(
          healthyObservation(spec),
          some.map((place) => place.name),
          true,
        );
        const plan = planProvision(spec, { clusterId: CLUSTER_ID, generation: 0, source: 'none' }, half);
        expect(plan.refusals).toEqual([]);
        expect(plan.nodes).toEqual(some);
        expect(plan.newNodes).toEqual(some.map(({ name }) => ({ name, newVolume: true })));
        expect(plan.accepts).toBe(true);
      }),
    );
  });

  test('of a running cluster that no keeper knows any more only hands the spec over', () => {
    const spec = specOf();
    const plan = planProvision(spec, knownAs(spec, { source: 'record', generation: 4 }), healthyObservation(spec));
    expect(names(plan)).toEqual([provisionSteps.accept]);
    expect(plan.generation).toBe(4);
  });

  test('of a cluster whose nodes run but do not agree waits for them to agree', () => {
    const spec = specOf();
    const split = withNode(healthyObservation(spec), 'orders-1-1', { replication: { offset: 0, replicas: 0, linkUp: false } });
    expect(names(planProvision(spec, knownAs(spec), split))).toEqual([provisionSteps.form]);
  });

  describe('is refused', () => {
    const spec = specOf();
    const refusals = (observation: Observation, known = knownAs(spec), wanted = spec) =>
      planProvision(wanted, known, observation).refusals.join('\n');

    test('when something else bears a name of the cluster', () => {
      const foreign = ['container orders-0-0', 'volume orders-0-0-data'];
      const plan = planProvision(spec, unknownCluster, { ...emptyObservation(spec), foreign });
      expect(plan.refusals).toHaveLength(2);
      expect(plan.refusals[0]).toContain("container orders-0-0 exists and is not Holdfast's");
    });

    test('when the host holds a cluster of the name with another id, whatever carries it', () => {
      const healthy = healthyObservation(spec);
      const other = healthyObservation(spec, OTHER_CLUSTER_ID);
      const { network: _, ...bare } = emptyObservation(spec);
      for (const foreign of [
        other,
        { ...healthy, containers: other.containers },
        { ...bare, volumes: other.volumes },
        { ...bare, ...(other.network === undefined ? {} : { network: other.network }) },
      ])
        expect(refusals(foreign)).toContain('of another Holdfast installation (or this one lost its records)');
      expect(refusals(healthy, unknownCluster)).toContain('of another Holdfast installation');
    });

    test('when the cluster stands with another spec', () => {
      expect(refusals(healthyObservation(spec), knownAs(specOf({ replicasPerShard: 2 }), { generation: 7 }))).toContain(
        'orders exists with another spec (generation 7): use configure',
      );
    });

    test('when the host has too little memory left to promise, with both figures', () => {
      const full = { ...emptyObservation(spec), host: { name: 'local', cpus: 2, memoryBytes: 2 * 1024 ** 3, promisedBytes: 1024 ** 3 } };
      expect(refusals(full, unknownCluster)).toContain('host local has 1024 MiB of memory left to promise, and this needs 1536 MiB');
    });

    test('not when the nodes that are there already were promised all of it', () => {
      const healthy = healthyObservation(spec);
      const full = { ...healthy, host: { ...healthy.host, memoryBytes: healthy.host.promisedBytes } };
      expect(refusals(full)).toBe('');
      expect(refusals(withContainer(full, 'orders-0-0', { state: 'exited' }))).toBe('');
    });

    test('when the subnet has no room for the nodes', () => {
      const small = specOf({ network: { subnet: '10.50.1.0/27' } });
      expect(refusals(emptyObservation(small), unknownCluster, small)).toContain(
        '10.50.1.0/27 is too small: this cluster needs a /26 or larger',
      );
      const enough = specOf({ network: { subnet: '10.50.1.0/26' } });
      expect(refusals(emptyObservation(enough), unknownCluster, enough)).toBe('');
    });

    test('when a shard of an accepted cluster has lost every volume: an empty one in its place would hide that', () => {
      fc.assert(
        fc.property(anySpec(6), fc.nat(), (wanted, pick) => {
          const shard = pick % wanted.shards;
          const gone = placesOf(wanted).filter((place) => place.shard === shard);
          const lost = withoutNodes(
            healthyObservation(wanted),
            gone.map((place) => place.name),
            true,
          );
          expect(planProvision(wanted, knownAs(wanted), lost).refusals).toEqual([
            `shard ${shard} has lost every volume, and with them its data: restore it from a backup, or deprovision and start anew`,
          ]);
        }),
      );
    });

    test('when a node without volume still owns slots: an empty primary would make its replica throw its data away', () => {
      const lost = withoutNodes(healthyObservation(spec), ['orders-0-0'], true);
      expect(refusals(lost)).toContain('orders-0-0 has lost its volume, and cannot come back empty: the cluster still says that it owns');
    });

    test('not when a replica has taken the slots over', () => {
      const [old, successor] = [nodeIdOf(CLUSTER_ID, 'orders-0-0'), nodeIdOf(CLUSTER_ID, 'orders-0-1')];
      const range = healthyObservation(spec).views[0]?.members.find((member) => member.nodeId === old)?.slots ?? [];
      const takenOver = withMembers(withoutNodes(healthyObservation(spec), ['orders-0-0'], true), (member) =>
        member.nodeId === old
          ? { ...member, slots: [] }
          : member.nodeId === successor
            ? { ...member, role: 'primary', primaryId: '', slots: range }
            : member,
      );
      expect(refusals(takenOver)).toBe('');
    });

    test('not when a replica has lost its volume', () => {
      expect(refusals(withoutNodes(healthyObservation(spec), ['orders-0-1'], true))).toBe('');
    });

    test('when a node without AOF has stopped and still owns slots: it would come back empty', () => {
      const cache = specOf({ persistence: { aof: false } });
      const stopped = withoutNodes(healthyObservation(cache), ['orders-0-0'], false);
      expect(refusals(stopped, knownAs(cache), cache)).toContain('orders-0-0 has no AOF to load, and cannot come back empty');
    });

    test('when the primary of a sentinel cluster has lost its volume and nobody has taken over', () => {
      const sentinel = sentinelSpec();
      const lost = withoutNodes(healthyObservation(sentinel), ['orders-0-0'], true);
      expect(refusals(lost, knownAs(sentinel), sentinel)).toContain('no node is the primary now');
    });
  });
});

describe('planning a deprovision', () => {
  const spec = specOf({ deletionProtection: false });
  const input = (changes: Partial<DeprovisionInput> = {}) => deprovisionInput.parse({ cluster: 'orders', confirm: 'orders', ...changes });

  test('removes everything that was seen, sentinels first and the keeper last', () => {
    fc.assert(
      fc.property(anySpec(), (any) => {
        const seen = healthyObservation(any);
        const plan = planDeprovision(input({ cluster: any.name, confirm: any.name, force: true }), knownAs(any), seen);
        expect(plan.refusals).toEqual([]);
        expect(plan.waves.flat().sort()).toEqual(seen.containers.map((container) => container.name).sort());
        expect([...plan.volumes].sort()).toEqual(seen.volumes.map((volume) => volume.name).sort());
        const kinds = plan.waves.flat().map((name) => seen.containers.find((container) => container.name === name)?.kind);
        expect(kinds.lastIndexOf('sentinel')).toBeLessThan(kinds.indexOf('data'));
        const order = names(plan);
        expect(order.slice(-4)).toEqual([
          deprovisionSteps.network,
          deprovisionSteps.volumes,
          deprovisionSteps.records,
          deprovisionSteps.keeper,
        ]);
      }),
    );
  });

  test('keeps volumes, network and secrets when asked to', () => {
    const plan = planDeprovision(input({ keepVolumes: true }), knownAs(spec), healthyObservation(spec));
    expect(plan).toMatchObject({ volumes: [], removesNetwork: false, removesRecords: false, closesKeeper: false });
    expect(plan.summary).toContain('6 volumes such as orders-0-0-data, the network and the secrets stay');
  });

  test('does not promise to keep what is not on disk', () => {
    const cache = specOf({ deletionProtection: false, persistence: { aof: false } });
    expect(planDeprovision(input({ keepVolumes: true }), knownAs(cache), healthyObservation(cache)).refusals.join()).toContain(
      'keeps no AOF',
    );
  });

  test('finishes what an interrupted one left', () => {
    const gone = placesOf(spec).map((place) => place.name);
    const rest = withoutNodes(healthyObservation(spec), gone, true);
    const { network: _, ...nothing } = rest;
    expect(names(planDeprovision(input(), knownAs(spec, { source: 'record' }), nothing))).toEqual([deprovisionSteps.records]);
    expect(names(planDeprovision(input(), unknownCluster, rest))).toContain(deprovisionSteps.network);
  });

  test('is refused under deletion protection, and by force is not', () => {
    const known = knownAs(specOf());
    expect(planDeprovision(input(), known, healthyObservation(spec)).refusals[0]).toContain('orders is under deletion protection');
    expect(planDeprovision(input({ force: true }), known, healthyObservation(spec)).refusals).toEqual([]);
  });

  test('is refused for a cluster of another installation, and by force is not', () => {
    const other = healthyObservation(spec, OTHER_CLUSTER_ID);
    expect(planDeprovision(input(), knownAs(spec), other).refusals[0]).toContain('was made by another Holdfast installation');
    expect(planDeprovision(input(), unknownCluster, other).refusals[0]).toContain('was made by another Holdfast installation');
    expect(planDeprovision(input({ force: true }), unknownCluster, other).refusals).toEqual([]);
  });

  test('tells that a cluster is not there, and that anything at all of it is', () => {
    expect(planDeprovision(input(), unknownCluster, emptyObservation(spec)).exists).toBe(false);
    const gone = placesOf(spec).map((place) => place.name);
    expect(planDeprovision(input(), unknownCluster, withoutNodes(healthyObservation(spec), gone, true)).exists).toBe(true);
    expect(planDeprovision(input(), knownAs(spec, { source: 'record' }), emptyObservation(spec)).exists).toBe(true);
  });
});

describe('planning a configure', () => {
  const before = specOf({ security: { users: [{ name: 'app' }, { name: 'old' }] } });
  const planFor = (changes: Partial<ClusterSpecInput>, seen = healthyObservation(before)) =>
    planConfigure(specOf({ security: { users: [{ name: 'app' }, { name: 'old' }] }, ...changes }), knownAs(before), seen);

  test('of the spec that holds gives no steps, for any spec', () => {
    fc.assert(
      fc.property(anySpec(), (spec) => {
        expect(planConfigure(spec, knownAs(spec), healthyObservation(spec))).toMatchObject({ steps: [], refusals: [], accepts: false });
      }),
    );
  });

  test('sets the server parameters that differ, tells from what to what, and knows how to take them back', () => {
    const plan = planFor(
      { config: { 'maxmemory-policy': 'allkeys-lru' }, persistence: { fsync: 'always' } },
      withNode(healthyObservation(before), 'orders-0-0', {
        parameters: { ...firstParameters(), 'maxmemory-policy': 'noeviction' },
      }),
    );
    expect(plan.parameters).toEqual({ 'maxmemory-policy': 'allkeys-lru', appendfsync: 'always' });
    expect(plan.formerParameters).toMatchObject({ 'maxmemory-policy': 'noeviction', appendfsync: 'everysec' });
    expect(plan.steps[0]?.change).toContain('appendfsync: everysec -> always');
    expect(names(plan)).toEqual([configureSteps.parameters, configureSteps.accept]);
  });

  test('puts a parameter right that somebody changed on one node, under the same generation', () => {
    const retired = withNode(healthyObservation(before), 'orders-2-1', {
      parameters: { ...firstParameters(), 'cluster-replica-no-failover': 'yes' },
    });
    expect(planFor({}, retired).parameters).toEqual({ 'cluster-replica-no-failover': 'no' });
    const drifted = withNode(healthyObservation(before), 'orders-2-1', { parameters: { ...firstParameters(), appendfsync: 'no' } });
    const plan = planFor({}, drifted);
    expect(plan.parameters).toEqual({ appendfsync: 'everysec' });
    expect(plan.accepts).toBe(false);
  });

  test('grows limits before maxmemory, and shrinks them after it', () => {
    const up = planFor({ resources: { memory: '512Mi' } });
    expect(names(up).slice(0, 2)).toEqual([configureSteps.limits, configureSteps.parameters]);
    const down = planFor({ resources: { memory: '128Mi' } });
    expect(names(down).slice(0, 2)).toEqual([configureSteps.parameters, configureSteps.limits]);
    expect(down.limitNodes).toHaveLength(6);
  });

  test('changes of CPU touch containers only', () => {
    expect(names(planFor({ resources: { cpus: 2 } }))).toEqual([configureSteps.limits, configureSteps.accept]);
  });

  test('names the users that come, change and go', () => {
    const plan = planFor({ security: { users: [{ name: 'app', rules: '~app:* +@read' }, { name: 'new' }] } });
    const step = plan.steps.find(({ name }) => name === configureSteps.users);
    expect(step).toMatchObject({ change: 'add new; change app; remove old', cost: 'clients of removed users are disconnected' });
    expect(plan.removedUsers).toEqual(['old']);
  });

  test.each<[string, Partial<ClusterSpecInput>, string]>([
    ['engine', { engine: 'redis', version: '8.0' }, 'a new cluster, and a move of the data'],
    ['version', { version: '8.1' }, 'a rolling upgrade'],
    ['mode', { mode: 'sentinel' }, 'a new cluster'],
    ['shards', { shards: 4 }, 'slots moved between primaries'],
    ['replicasPerShard', { replicasPerShard: 2 }, 'nodes added or removed'],
    ['security.tls', { security: { tls: false } }, 'a restart of every node'],
    ['placement', { placement: { hosts: ['other'] } }, 'nodes made on the other host'],
    ['network.subnet', { network: { subnet: '10.9.0.0/24' } }, 'a new network'],
    ['labels', { labels: { team: 'a' } }, 'every container made anew'],
  ])('refuses a change of %s with what it would need', (field, changes, needs) => {
    const refusal = planFor(changes).refusals.find((one) => one.startsWith(`${field} (`));
    expect(refusal).toContain(`it needs ${needs}`);
  });

  test('names every field that changes: in the step that no other tells of, and in short for the journal', () => {
    const { steps, summary } = planFor({ pitr: { enabled: true }, backup: { retention: { daily: 14 } } });
    const accept = steps.find(({ name }) => name === configureSteps.accept)?.change;
    expect(accept).toContain('pitr.enabled false -> true');
    expect(accept).toContain('backup.retention.daily 7 -> 14');
    expect(summary).toMatch(/change.* \(backup.retention.daily, pitr.enabled\), all while it serves/);
  });

  test('says which command gives a cluster another size, and that its file may be older than its last one', () => {
    const { refusals } = planFor({ shards: 5, replicasPerShard: 2 });
    expect(refusals[0]).toContain('holdfast scale orders --shards 5');
    expect(refusals[1]).toContain('holdfast scale orders --replicas 2');
    expect(refusals[0]).toContain('holdfast describe orders');
  });

  test('refuses another number of sentinels', () => {
    const three = sentinelSpec();
    expect(planConfigure(sentinelSpec({ sentinels: 5 }), knownAs(three), healthyObservation(three)).refusals[0]).toContain(
      'sentinels (3 -> 5)',
    );
  });

  test('refuses to take a parameter out, since a running server does not know its default', () => {
    const had = specOf({ config: { hz: '20' } });
    expect(planConfigure(specOf(), knownAs(had), healthyObservation(had)).refusals[0]).toContain('config.hz cannot be taken out');
  });

  test('may take out a parameter that has a value from elsewhere', () => {
    const had = specOf({ config: { maxmemory: '100mb' } });
    expect(planConfigure(specOf(), knownAs(had), healthyObservation(had))).toMatchObject({
      refusals: [],
      parameters: { maxmemory: '201326592' },
    });
  });

  test('refuses while a node is away, and names it', () => {
    const healthy = healthyObservation(before);
    for (const away of [
      withoutNodes(healthy, ['orders-1-0'], false),
      withContainer(healthy, 'orders-1-0', { state: 'exited' }),
      silenced(healthy, 'orders-1-0'),
    ])
      expect(planFor({ resources: { cpus: 2 } }, away).refusals[0]).toContain(
        'orders-1-0 cannot be reached, and every node must take the change',
      );
  });

  test('refuses a maxmemory below what a node uses', () => {
    const used = withNode(healthyObservation(before), 'orders-0-0', { memoryUsedBytes: 150 * 1024 ** 2 });
    expect(planFor({ resources: { memory: '128Mi' } }, used).refusals[0]).toContain(
      'orders-0-0 uses 150 MiB, more than the new maxmemory of 96 MiB',
    );
  });

  test('carried out leaves nothing to plan', () => {
    const changes = fc.record({
      memory: fc.constantFrom('128Mi', '256Mi', '1Gi'),
      cpus: fc.constantFrom(0.5, 1, 2.25),
      fsync: fc.constantFrom('always', 'everysec', 'no'),
      config: fc.constantFrom({}, { hz: '50' }, { maxmemory: '64mb', 'notify-keyspace-events': 'KEA' }),
      users: fc.uniqueArray(
        fc.constantFrom('app', 'old', 'new').map((name) => ({ name })),
        { selector: (user) => user.name },
      ),
    });
    fc.assert(
      fc.property(changes, ({ memory, cpus, fsync, config, users }) => {
        const after = specOf({ resources: { memory, cpus }, persistence: { fsync }, config, security: { users } });
        const first = planConfigure(after, knownAs(before), healthyObservation(before));
        expect(first.refusals).toEqual([]);
        expect(planConfigure(after, knownAs(after, { generation: 2 }), healthyObservation(after)).steps).toEqual([]);
      }),
    );
  });

  const firstParameters = () => {
    const [node] = healthyObservation(before).nodes;
    return node?.answers === true ? node.parameters : {};
  };
});
