import fc from 'fast-check';
import { type ClusterSpec, type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import { engineCatalogue } from '../../config/engines.ts';
import { networkName, volumeName } from '../../config/names.ts';
import type { KnownCluster } from '../../model/known-cluster.ts';
import { addressOf, limitsOf, type NodePlace, nanoCpus, nodeIdOf, placesOf, prefixFor, specHash } from '../../model/layout.ts';
import {
  answered,
  type ClusterMember,
  type Observation,
  type ObservedContainer,
  type ObservedNode,
  type ObservedSentinel,
} from '../../model/observation.ts';
import { liveParameters, maxmemoryOf } from '../../model/server-conf.ts';
import { initialMembers } from '../../model/topology.ts';

export const CLUSTER_ID = '3c6bb5b6-5f2e-4a4b-9a43-6f2a3c1f0b11';
export const OTHER_CLUSTER_ID = 'ffffffff-0000-4000-8000-000000000000';

type AnsweringNode = Extract<ObservedNode, { answers: true }>;
type AnsweringSentinel = Extract<ObservedSentinel, { answers: true }>;

/** A parsed spec from the few fields that a test cares about. */
export const specOf = (changes: Partial<ClusterSpecInput> = {}): ClusterSpec =>
  clusterSpec.parse({ name: 'orders', engine: 'valkey', version: '9.1', ...changes });

export const sentinelSpec = (changes: Partial<ClusterSpecInput> = {}): ClusterSpec => specOf({ mode: 'sentinel', ...changes });

export const subnetOf = (spec: ClusterSpec): string => spec.network.subnet ?? `10.213.16.0/${prefixFor(spec)}`;

/** What is on record of a cluster that was provisioned and stands as the spec says. */
export const knownAs = (spec: ClusterSpec, changes: Partial<KnownCluster> = {}): KnownCluster => ({
  clusterId: CLUSTER_ID,
  spec,
  generation: 1,
  source: 'keeper',
  ...changes,
});

export const unknownCluster: KnownCluster = { generation: 0, source: 'none' };

/** A host with room, and nothing of the cluster on it. */
export const emptyObservation = (spec: ClusterSpec): Observation => ({
  cluster: spec.name,
  observedAt: '2026-11-02T10:00:00.000Z',
  host: { name: 'local', memoryBytes: 2 ** 46, cpus: 64, promisedBytes: 0 },
  containers: [],
  volumes: [],
  foreign: [],
  nodes: [],
  sentinels: [],
  views: [],
});

/** What `observe` sees of a cluster that is exactly as its spec wants it. */
export function healthyObservation(spec: ClusterSpec, clusterId = CLUSTER_ID): Observation {
  const places = placesOf(spec);
  const data = places.filter((place) => place.kind === 'data');
  const subnet = subnetOf(spec);
  const containers = places.map(
    (place): ObservedContainer => ({
      name: place.name,
      kind: place.kind,
      shard: place.shard,
      clusterId,
      generation: 1,
      specHash: specHash(spec),
      state: 'running',
      image: `${spec.engine}:${spec.version}`,
      address: addressOf(place, subnet),
      memoryBytes: limitsOf(spec, place.kind).memoryBytes,
      nanoCpus: nanoCpus(limitsOf(spec, place.kind).cpus),
      restarts: 0,
    }),
  );
  return {
    ...emptyObservation(spec),
    host: { ...emptyObservation(spec).host, promisedBytes: containers.reduce((sum, container) => sum + container.memoryBytes, 0) },
    network: { name: networkName(spec.name), subnet, clusterId },
    containers,
    volumes: places.map((place) => ({ name: volumeName(place.name), node: place.name, clusterId })),
    nodes: data.map((place) => healthyNode(spec, place, subnet, clusterId)),
    sentinels: places.filter((place) => place.kind === 'sentinel').map((place) => healthySentinel(spec, place, subnet)),
    views:
      spec.mode === 'cluster'
        ? [{ digest: 'v1', seenBy: data.map((place) => place.name), members: initialMembers(spec, clusterId, subnet) }]
        : [],
  };
}

function healthyNode(spec: ClusterSpec, place: NodePlace, subnet: string, clusterId: string): AnsweringNode {
  const primary = place.ordinal === 0;
  const cluster = spec.mode === 'cluster';
  return {
    name: place.name,
    address: addressOf(place, subnet),
    answers: true,
    nodeId: cluster ? nodeIdOf(clusterId, place.name) : '',
    engine: spec.engine,
    version: `${spec.version}.3`,
    role: primary ? 'primary' : 'replica',
    loading: false,
    clusterState: cluster ? 'ok' : 'none',
    viewDigest: cluster ? 'v1' : '',
    openSlots: [],
    failing: [],
    unlinked: [],
    replication: {
      offset: 1000,
      replicas: primary ? spec.replicasPerShard : 0,
      ...(primary ? {} : { primaryAddress: addressOf({ ...place, ordinal: 0 }, subnet), linkUp: true }),
    },
    memoryUsedBytes: 2_000_000,
    memoryMaxBytes: maxmemoryOf(spec),
    keys: 12,
    uptimeSeconds: 60,
    persistenceOk: true,
    parameters: { ...liveParameters(spec) },
    users: {},
  };
}

const healthySentinel = (spec: ClusterSpec, place: NodePlace, subnet: string): AnsweringSentinel => ({
  name: place.name,
  address: addressOf(place, subnet),
  answers: true,
  primaryAddress: addressOf({ name: '', kind: 'data', shard: 0, ordinal: 0 }, subnet),
  others: spec.sentinels - 1,
  replicas: spec.replicasPerShard,
  quorum: 'ok',
  uptimeSeconds: 60,
});

/** The observation with one data node changed. */
export const withNode = (observation: Observation, name: string, change: Partial<AnsweringNode>): Observation => ({
  ...observation,
  nodes: observation.nodes.map((node) => (node.name === name && answered(node) ? { ...node, ...change } : node)),
});

export const withSentinel = (observation: Observation, name: string, change: Partial<AnsweringSentinel>): Observation => ({
  ...observation,
  sentinels: observation.sentinels.map((one) => (one.name === name && answered(one) ? { ...one, ...change } : one)),
});

export const withContainer = (observation: Observation, name: string, change: Partial<ObservedContainer>): Observation => ({
  ...observation,
  containers: observation.containers.map((container) => (container.name === name ? { ...container, ...change } : container)),
});

/** The observation with some members of the view that all nodes share changed. */
export const withMembers = (observation: Observation, change: (member: ClusterMember) => ClusterMember): Observation => ({
  ...observation,
  views: observation.views.map((view) => ({ ...view, members: view.members.map(change) })),
});

/** A node's container runs, but its server does not answer. */
export const silenced = (observation: Observation, name: string): Observation => {
  const silent = <T extends { readonly name: string; readonly address: string }>(one: T) =>
    one.name === name ? ({ name, address: one.address, answers: false, error: 'connect ETIMEDOUT' } as const) : one;
  return { ...observation, nodes: observation.nodes.map(silent), sentinels: observation.sentinels.map(silent) };
};

/** Nodes whose container was removed, with or without their volume. */
export function withoutNodes(observation: Observation, names: readonly string[], withVolumes: boolean): Observation {
  const stays = ({ name }: { readonly name: string }) => !names.includes(name);
  return {
    ...observation,
    containers: observation.containers.filter(stays),
    nodes: observation.nodes.filter(stays),
    sentinels: observation.sentinels.filter(stays),
    volumes: withVolumes ? observation.volumes.filter((volume) => !names.includes(volume.node)) : observation.volumes,
  };
}

const engines = fc.constantFrom(...engineCatalogue.map(({ engine, version }) => ({ engine, version })));
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}[a-z0-9]$/);

const clusterShape = (maxShards: number) =>
  fc
    .record({
      mode: fc.constant('cluster' as const),
      shards: fc.integer({ min: 3, max: maxShards }),
      replicasPerShard: fc.integer({ min: 0, max: 5 }),
    })
    .filter(({ shards, replicasPerShard }) => shards * (1 + replicasPerShard) <= 1000);
const sentinelShape = fc.record({
  mode: fc.constant('sentinel' as const),
  replicasPerShard: fc.integer({ min: 1, max: 5 }),
  sentinels: fc.constantFrom(3, 5),
});

/** Any valid spec, with up to so many shards. */
export const anySpec = (maxShards = 12): fc.Arbitrary<ClusterSpec> =>
  fc
    .tuple(name, engines, fc.oneof(clusterShape(maxShards), sentinelShape), fc.boolean(), fc.integer({ min: 64, max: 4096 }))
    .map(([clusterName, engine, shape, tls, memory]) =>
      clusterSpec.parse({ name: clusterName, ...engine, ...shape, security: { tls }, resources: { memory: `${memory}Mi` } }),
    );

/** A spec and some of its nodes. */
export const specWithSomeNodes = fc.tuple(anySpec(6), fc.infiniteStream(fc.boolean())).map(([spec, coins]) => {
  const flips = coins[Symbol.iterator]();
  return { spec, some: placesOf(spec).filter(() => flips.next().value === true) };
});
