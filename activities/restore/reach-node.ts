import type Docker from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { networkName } from '../../config/names.ts';
import { addressOf, type NodePlace } from '../../model/layout.ts';
import { reach } from '../docker/networks.ts';
import { asOperator, type NodeAddress } from '../redis/connection.ts';
import type { SecretStore } from '../secrets/secret-store.ts';

export interface ReachDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
}

/** A data node of a cluster, by its place. */
export interface PlacedNode {
  readonly spec: ClusterSpec;
  readonly place: NodePlace;
  readonly subnet: string;
}

/** Its network can be reached from here; and how to speak to the node as the operator. */
export async function reachNode({ docker, secrets }: ReachDeps, { spec, place, subnet }: PlacedNode): Promise<NodeAddress> {
  const held = await secrets.require(spec.name);
  await reach(docker, networkName(spec.name));
  return asOperator(held, spec.security.tls, { kind: 'data', address: addressOf(place, subnet) });
}
