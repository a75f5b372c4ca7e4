import type Docker from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { type NodeNow, type ShardNow, shardsNow } from '../../model/migration/shards-now.ts';
import { answered, type Observation } from '../../model/observation.ts';
import { asOperator, type NodeAddress } from '../redis/connection.ts';
import { observe } from '../redis/observe.ts';
import type { SecretStore } from '../secrets/secret-store.ts';

export interface MigrationDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
  readonly hostName: string;
}

/** Whose slots are asked for or moved. The spec is the larger one of before and after: it names every node that takes part. */
export interface ClusterRef {
  readonly spec: ClusterSpec;
  readonly clusterId: string;
}

/** What is true of a cluster at one moment, and how to reach its nodes. */
export interface ClusterNow {
  readonly shards: readonly ShardNow[];
  readonly observation: Observation;
  /** Why slots cannot be moved now; empty when they can: every shard is led, and each primary says that the cluster is ok. */
  readonly unready: readonly string[];
  target(node: NodeNow): NodeAddress;
}

export async function lookAtCluster(deps: MigrationDeps, { spec, clusterId }: ClusterRef): Promise<ClusterNow> {
  const held = await deps.secrets.require(spec.name);
  const observation = await observe(deps, { cluster: spec.name, tls: spec.security.tls, parameters: [] });
  const shards = shardsNow(spec, clusterId, observation);
  const primaries = new Set(shards.map(({ primary }) => primary?.name));
  const unready = [
    ...shards.filter(({ primary }) => primary === undefined).map(({ shard }) => `shard ${shard} has no primary that answers`),
    ...observation.nodes
      .filter(answered)
      .filter((node) => primaries.has(node.name) && node.clusterState !== 'ok')
      .map((node) => `${node.name} says that the cluster is not ok`),
  ];
  return {
    shards,
    observation,
    unready,
    target: ({ address }) => asOperator(held, spec.security.tls, { kind: 'data', address }),
  };
}
