import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { nodeIdOf, placesOf } from '../layout.ts';
import { answered, type Observation } from '../observation.ts';
import type { SlotRange } from '../slots.ts';

/** A node that answers, as the cluster sees it now. */
export interface NodeNow {
  readonly name: string;
  readonly nodeId: string;
  readonly address: string;
}

/** A shard as it is now: who leads it, who follows, which slots it has. */
export interface ShardNow {
  readonly shard: number;
  /** Missing while no node that answers says that it leads, or two do. */
  readonly primary?: NodeNow;
  /** Those whose link is up. */
  readonly replicas: readonly NodeNow[];
  /** As most nodes see it. */
  readonly slots: readonly SlotRange[];
}

/** The shards of a spec, from what was observed. Of a new node nothing is known until it has joined: its shard has no primary then. */
export function shardsNow(spec: ClusterSpec, clusterId: string, observation: Observation): readonly ShardNow[] {
  const members = new Map((observation.views[0]?.members ?? []).map((member) => [member.nodeId, member]));
  const nodes = new Map(observation.nodes.filter(answered).map((node) => [node.name, node]));
  const places = placesOf(spec).filter((place) => place.kind === 'data');
  return Array.from({ length: spec.shards }, (_, shard) => {
    const own = places.filter((place) => place.shard === shard);
    const found = own.flatMap((place) => {
      const nodeId = nodeIdOf(clusterId, place.name);
      const [member, node] = [members.get(nodeId), nodes.get(place.name)];
      return node === undefined || member === undefined || node.loading
        ? []
        : [{ place, member, node, now: { name: place.name, nodeId, address: node.address } }];
    });
    const leads = found.filter(({ node }) => node.role === 'primary');
    // An old primary that has come back may not know that it is none any more, or lead nothing; the others know whose the slots are.
    const owners = leads.length > 1 ? leads.filter(({ member }) => member.role === 'primary' && member.slots.length > 0) : leads;
    const primary = owners.length === 1 ? owners[0] : undefined;
    const slots = own.flatMap((place) => members.get(nodeIdOf(clusterId, place.name))?.slots ?? []);
    return {
      shard,
      ...(primary === undefined ? {} : { primary: primary.now }),
      replicas: found
        .filter(({ node }) => node.role === 'replica' && node.replication.linkUp === true && node.replication.syncing !== true)
        .map(({ now }) => now),
      slots: slots.toSorted((a, b) => a[0] - b[0]),
    };
  });
}

/** A primary that has lost all its slots, beside another of its shard that has them. */
export interface Stray {
  readonly name: string;
  readonly address: string;
  /** Node id of the primary that it should follow. */
  readonly primaryId: string;
}

/**
 * Primaries that should be replicas. A primary that comes back after a failover follows whoever took its slots over, by itself; but not when some
 * of them have moved to another shard meanwhile: then it stays, without slots, and its shard lacks a replica.
 */
export function strays(spec: ClusterSpec, { nodes, views }: Observation): readonly Stray[] {
  const members = new Map((views[0]?.members ?? []).map((member) => [member.nodeId, member]));
  const shards = new Map(placesOf(spec).map((place) => [place.name, place.shard]));
  const primaries = nodes.filter(answered).flatMap((node) => {
    const member = members.get(node.nodeId);
    const shard = shards.get(node.name);
    return node.role === 'primary' && !node.loading && member?.role === 'primary' && shard !== undefined
      ? [{ node, shard, slots: member.slots.length }]
      : [];
  });
  return primaries
    .filter(({ slots }) => slots === 0)
    .flatMap(({ node, shard }) => {
      const owners = primaries.filter((one) => one.shard === shard && one.slots > 0);
      const [owner] = owners;
      return owner === undefined || owners.length > 1 ? [] : [{ name: node.name, address: node.address, primaryId: owner.node.nodeId }];
    });
}
