import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseClusterNodes } from '../../activities/redis/parse.ts';
import { findEngineVersion } from '../../config/engines.ts';
import { settingsSchema } from '../../config/settings.ts';
import { addressOf, canonicalJson, guestRange, type NodePlace, nodeIdOf, placesOf, prefixFor, specHash } from '../../model/layout.ts';
import type { ClusterMember } from '../../model/observation.ts';
import { countSlots, SLOTS } from '../../model/slots.ts';
import { addressAt, subnetsOverlap } from '../../model/subnets.ts';
import { initialMembers, membersForFormer, membersForNewNode, renderNodesConf, sentinelPrimary } from '../../model/topology.ts';
import {
  anySpec,
  CLUSTER_ID,
  emptyObservation,
  healthyObservation,
  sentinelSpec,
  specOf,
  specWithSomeNodes,
  subnetOf,
  withMembers,
  withNode,
  withoutNodes,
  withSentinel,
} from './model-observations.ts';

const size = (subnet: string) => 2 ** (32 - Number(subnet.split('/')[1]));

describe('places and addresses', () => {
  test('every node has a name, an address and a node id that no other has', () => {
    fc.assert(
      fc.property(anySpec(500), (spec) => {
        const places = placesOf(spec);
        const subnet = subnetOf(spec);
        expect(places).toHaveLength(spec.shards * (1 + spec.replicasPerShard) + spec.sentinels);
        for (const of of [
          (place: (typeof places)[number]) => place.name,
          (place: (typeof places)[number]) => addressOf(place, subnet),
          (place: (typeof places)[number]) => nodeIdOf(CLUSTER_ID, place.name),
        ])
          expect(new Set(places.map(of)).size).toBe(places.length);
      }),
      { numRuns: 40 },
    );
  });

  test('every address lies in the subnet and is neither the network’s, the gateway’s nor the broadcast address', () => {
    fc.assert(
      fc.property(anySpec(500), (spec) => {
        const subnet = subnetOf(spec);
        const reserved = [0, 1, size(subnet) - 1].map((offset) => addressAt(subnet, offset));
        for (const place of placesOf(spec)) {
          const address = addressOf(place, subnet);
          expect(subnetsOverlap(`${address}/32`, subnet)).toBe(true);
          expect(reserved).not.toContain(address);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('what the engine gives to guests is in the subnet, and no node is ever given it', () => {
    fc.assert(
      fc.property(anySpec(500), (spec) => {
        const subnet = `10.213.0.0/${prefixFor(spec)}`;
        const guests = guestRange(subnet);
        expect(subnetsOverlap(guests, subnet)).toBe(true);
        for (const place of placesOf(spec)) expect(subnetsOverlap(guests, `${addressOf(place, subnet)}/32`)).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  test('a subnet one step smaller than prefixFor has no room, so it does not ask for too much either', () => {
    fc.assert(
      fc.property(anySpec(500), (spec) => {
        const last = { name: '', kind: 'data', shard: spec.shards - 1, ordinal: 5 } as const;
        const smaller = `10.0.0.0/${prefixFor(spec) + 1}`;
        const guests = 16;
        const offset = Number(addressOf(last, '0.0.0.0/0').split('.')[2]) * 256 + Number(addressOf(last, '0.0.0.0/0').split('.')[3]);
        expect(offset + 1 + guests).toBeGreaterThan(size(smaller));
      }),
    );
  });

  test('the largest spec fits into a subnet that the settings allow, and into the default pool', () => {
    const largest = specOf({ shards: 500, replicasPerShard: 1 });
    expect(prefixFor(largest)).toBe(20);
    expect(settingsSchema.safeParse({ HOLDFAST_SUBNET_PREFIX: prefixFor(largest) }).success).toBe(true);
    expect(Number(settingsSchema.parse({}).HOLDFAST_SUBNET_POOL.split('/')[1])).toBeLessThanOrEqual(prefixFor(largest));
  });

  test('an address stays when replicas or shards are added', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 40 }), fc.nat(5), (shards, replicasPerShard) => {
        const before = specOf({ shards: 3, replicasPerShard: 0 });
        const after = specOf({ shards, replicasPerShard });
        const addresses = new Map(placesOf(after).map((place) => [place.name, addressOf(place, '10.0.0.0/20')]));
        for (const place of placesOf(before)) expect(addresses.get(place.name)).toBe(addressOf(place, '10.0.0.0/20'));
      }),
    );
  });
});

describe('digests', () => {
  test('a spec’s hash does not depend on the order of its fields', () => {
    const { name, engine, ...rest } = specOf({ labels: { a: '1', b: '2' } });
    expect(specHash({ ...rest, engine, name, labels: { b: '2', a: '1' } })).toBe(specHash({ name, engine, ...rest }));
  });

  test('different values never have the same canonical JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const same = canonicalJson(a) === canonicalJson(b);
        expect(same).toBe(JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)));
      }),
    );
  });
});

const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  // An object is told from an array, which an empty one would be like.
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return { fields: fields.map(([key, part]) => [key, sorted(part)]) };
};

const clusterSpecs = anySpec(40).filter((spec) => spec.mode === 'cluster');

describe('the first members of a cluster', () => {
  test('own all slots once, and every replica follows the primary of its own shard', () => {
    fc.assert(
      fc.property(clusterSpecs, (spec) => {
        const members = initialMembers(spec, CLUSTER_ID, subnetOf(spec));
        const ids = new Map(members.map((member) => [member.nodeId, member]));
        expect(countSlots(members.flatMap((member) => member.slots))).toBe(SLOTS);
        expect(members.filter((member) => member.role === 'primary')).toHaveLength(spec.shards);
        for (const member of members.filter((one) => one.role === 'replica')) {
          expect(ids.get(member.primaryId)?.role).toBe('primary');
          expect(member.slots).toEqual([]);
        }
        const epochs = members.filter((member) => member.role === 'primary').map((member) => member.epoch);
        expect(new Set(epochs).size).toBe(epochs.length);
      }),
    );
  });

  test('nodes.conf says of each node exactly what was to be said, in the words of CLUSTER NODES', () => {
    fc.assert(
      fc.property(clusterSpecs, fc.nat(), (spec, pick) => {
        const members = initialMembers(spec, CLUSTER_ID, subnetOf(spec));
        const me = members[pick % members.length]?.nodeId ?? '';
        const [vars, ...lines] = renderNodesConf(spec, CLUSTER_ID, members, me).trim().split('\n').toReversed();
        const parsed = parseClusterNodes(lines.toReversed().join('\n'));
        expect(parsed.map(({ myself: _, linked: __, openSlots: ___, ...member }) => member)).toEqual(members);
        expect(parsed.filter((member) => member.myself).map((member) => member.nodeId)).toEqual([me]);
        expect(vars).toBe(`vars currentEpoch ${spec.shards} lastVoteEpoch 0`);
      }),
    );
  });

  test('nodes of a shard share a shard id, where the version keeps them', () => {
    for (const version of ['9.1', '8.1'] as const) {
      const text = nodesConfOf(specOf({ version }));
      expect(new Set(text.match(/shard-id=\w{40}/g)).size).toBe(3);
      expect(text.match(/shard-id=/g)).toHaveLength(6);
    }
    const old = specOf({ engine: 'redis', version: '7.0' });
    expect(findEngineVersion('redis', '7.0')?.shardIds).toBe(false);
    expect(nodesConfOf(old)).not.toContain('shard-id');
  });
});

const nodesConfOf = (spec: ReturnType<typeof specOf>): string => {
  const members = initialMembers(spec, CLUSTER_ID, subnetOf(spec));
  return renderNodesConf(spec, CLUSTER_ID, members, members[0]?.nodeId ?? '');
};

const first = (spec: ReturnType<typeof specOf>): NodePlace => ({ name: `${spec.name}-0-0`, kind: 'data', shard: 0, ordinal: 0 });

describe('the members that a new node is told of', () => {
  test('without a live node they are the initial ones', () => {
    fc.assert(
      fc.property(clusterSpecs, (spec) => {
        expect(membersForNewNode(spec, CLUSTER_ID, subnetOf(spec), emptyObservation(spec), first(spec))).toEqual(
          initialMembers(spec, CLUSTER_ID, subnetOf(spec)),
        );
      }),
    );
  });

  test('are what the live nodes see, each once, and nobody is given slots that somebody owns', () => {
    fc.assert(
      fc.property(specWithSomeNodes, ({ spec, some }) => {
        if (spec.mode !== 'cluster') return;
        const away = new Set(some.map((place) => nodeIdOf(CLUSTER_ID, place.name)));
        const healthy = healthyObservation(spec);
        // Node ids that the cluster never met: as if these shards' nodes had not been made yet.
        const half = {
          ...healthy,
          views: healthy.views.map((view) => ({ ...view, members: view.members.filter((m) => !away.has(m.nodeId)) })),
        };
        const members = membersForNewNode(spec, CLUSTER_ID, subnetOf(spec), half, first(spec));
        expect(new Set(members.map((member) => member.nodeId)).size).toBe(members.length);
        expect(members).toHaveLength(spec.shards * (1 + spec.replicasPerShard));
        expect(countSlots(members.flatMap((member) => member.slots))).toBeLessThanOrEqual(SLOTS);
      }),
    );
  });

  test('keep a role that changed by failover: facts come from the cluster', () => {
    const spec = specOf();
    const old = nodeIdOf(CLUSTER_ID, 'orders-0-0');
    const successor = nodeIdOf(CLUSTER_ID, 'orders-0-1');
    const failedOver = withMembers(healthyObservation(spec), (member) =>
      member.nodeId === old
        ? { ...member, role: 'replica', primaryId: successor, slots: [] }
        : member.nodeId === successor
          ? { ...member, role: 'primary', primaryId: '', slots: [[0, 5460]] }
          : member,
    );
    const members = membersForNewNode(spec, CLUSTER_ID, subnetOf(spec), failedOver, first(spec));
    expect(members.find((member) => member.nodeId === successor)).toMatchObject({ role: 'primary', slots: [[0, 5460]] });
    expect(members.find((member) => member.nodeId === old)).toMatchObject({ role: 'replica', primaryId: successor });
  });

  test('make a former primary that lost its volume a replica of whoever has its slots now', () => {
    const spec = specOf();
    const old = nodeIdOf(CLUSTER_ID, 'orders-0-0');
    const successor = nodeIdOf(CLUSTER_ID, 'orders-0-1');
    const takenOver = withMembers(healthyObservation(spec), (member) =>
      member.nodeId === old
        ? { ...member, flags: ['fail'], slots: [] }
        : member.nodeId === successor
          ? { ...member, role: 'primary', primaryId: '', slots: [[0, 5460]] }
          : member,
    );
    const members = membersForNewNode(spec, CLUSTER_ID, subnetOf(spec), takenOver, first(spec));
    expect(members.find((member) => member.nodeId === old)).toMatchObject({ role: 'replica', primaryId: successor, slots: [] });
  });
});

describe('the primary in sentinel mode', () => {
  const spec = sentinelSpec();
  const subnet = subnetOf(spec);
  const at = (ordinal: number) => addressOf({ name: '', kind: 'data', shard: 0, ordinal }, subnet);

  test('is the first node when nothing runs yet', () => {
    expect(sentinelPrimary(spec, subnet, emptyObservation(spec))).toBe(at(0));
  });

  test('is the node that says so, not one that a sentinel still watches', () => {
    const healthy = healthyObservation(spec);
    const moved = healthy.sentinels.reduce((seen, { name }) => withSentinel(seen, name, { primaryAddress: at(1) }), healthy);
    expect(sentinelPrimary(spec, subnet, moved)).toBe(at(0));
  });

  test('is, of two that say so, the one that has most replicas', () => {
    const healthy = healthyObservation(spec);
    const alone = withoutNodes(
      healthy,
      healthy.sentinels.map(({ name }) => name),
      false,
    );
    const two = withNode(alone, 'orders-0-1', { role: 'primary', replication: { offset: 5, replicas: 0 } });
    expect(sentinelPrimary(spec, subnet, two)).toBe(at(0));
    const other = withNode(withNode(two, 'orders-0-0', { replication: { offset: 5, replicas: 0 } }), 'orders-0-1', {
      replication: { offset: 5, replicas: 1 },
    });
    expect(sentinelPrimary(spec, subnet, other)).toBe(at(1));
  });
});

test('a primary that was replaced comes back as a replica that owns nothing, and knows nobody who has not joined', () => {
  const member = (nodeId: string, changes: Partial<ClusterMember> = {}): ClusterMember => ({
    nodeId,
    address: '10.0.0.1',
    role: 'primary',
    primaryId: '',
    epoch: 3,
    slots: [],
    flags: [],
    ...changes,
  });
  const promoted = member('promoted', { epoch: 5, slots: [[0, 90]] });
  const former = member('former', { slots: [[91, 99]], flags: ['fail'] });
  expect(membersForFormer([former, promoted, member('stranger', { flags: ['handshake'] })], 'former', 'promoted')).toEqual([
    { ...former, role: 'replica', primaryId: 'promoted', slots: [] },
    promoted,
  ]);
});
