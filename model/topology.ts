import type { ClusterSpec } from '../config/cluster-spec.ts';
import { findEngineVersion } from '../config/engines.ts';
import { ports } from '../config/names.ts';
import { addressOf, type NodePlace, nodeIdOf, placesById, placesOf, shardIdOf } from './layout.ts';
import { answered, type ClusterMember, type Observation } from './observation.ts';
import { evenSlotRanges, formatRange, type SlotRange } from './slots.ts';

/** Slots of each shard of a new cluster, by its number. */
export type InitialSlots = readonly (readonly SlotRange[])[];

const evenSlots = (spec: ClusterSpec): InitialSlots => evenSlotRanges(spec.shards).map((range) => [range]);

/** The members of a new cluster: ordinal 0 of every shard is its first primary and has its slots, unless told otherwise an even share. */
export function initialMembers(
  spec: ClusterSpec,
  clusterId: string,
  subnet: string,
  slots: InitialSlots = evenSlots(spec),
): readonly ClusterMember[] {
  const data = placesOf(spec).filter((place) => place.kind === 'data');
  return data.map((place) => {
    const primary = data.find((other) => other.shard === place.shard && other.ordinal === 0);
    const leads = place.ordinal === 0;
    return {
      nodeId: nodeIdOf(clusterId, place.name),
      address: addressOf(place, subnet),
      role: leads ? 'primary' : 'replica',
      primaryId: leads || primary === undefined ? '' : nodeIdOf(clusterId, primary.name),
      epoch: place.shard + 1,
      slots: leads ? (slots[place.shard] ?? []) : [],
      flags: [],
    };
  });
}

/**
 * The members as a node that is created now must know them: what most of the live nodes see, with those that they do not know yet from the
 * initial layout. Facts come from the cluster; the layout only fills what is not there. A node without slots whose shard has an owner comes as
 * its replica: what it was before it lost its volume does not count.
 */
export function membersForNewNode(
  spec: ClusterSpec,
  clusterId: string,
  subnet: string,
  observation: Observation,
  place: NodePlace,
  slots?: InitialSlots,
): readonly ClusterMember[] {
  const seen = observation.views[0]?.members ?? [];
  const known = new Set(seen.map((member) => member.nodeId));
  const owners = new Map(seen.filter((member) => member.slots.length > 0).map((member) => [member.nodeId, member]));
  const all = [...seen, ...initialMembers(spec, clusterId, subnet, slots).filter((member) => !known.has(member.nodeId))];
  if (owners.size === 0) return all;
  const places = placesById(spec, clusterId);
  const ownerOf = (nodeId: string) => [...owners.keys()].find((owner) => places.get(owner)?.shard === places.get(nodeId)?.shard);
  const own = nodeIdOf(clusterId, place.name);
  return all.map((member): ClusterMember => {
    if (owners.has(member.nodeId) || (known.has(member.nodeId) && member.nodeId !== own)) return member;
    const owner = ownerOf(member.nodeId);
    return owner === undefined ? { ...member, slots: [] } : { ...member, role: 'replica', primaryId: owner, slots: [] };
  });
}

/** The members as a primary must know them that was replaced while it was away: it follows the one that leads its shard now, and owns nothing. */
export function membersForFormer(members: readonly ClusterMember[], formerId: string, primaryId: string): readonly ClusterMember[] {
  return members
    .filter(({ nodeId, flags }) => nodeId === formerId || !(flags.includes('handshake') || flags.includes('noaddr')))
    .map((member) => (member.nodeId === formerId ? { ...member, role: 'replica', primaryId, slots: [] } : member));
}

/**
 * The text of nodes.conf for one node. A server that starts with it is a member at once: no MEET, no ADDSLOTS, no REPLICATE.
 * Format: `clusterLoadConfig` of the servers; versions that keep shard ids get the same one for all nodes of a shard.
 */
export function renderNodesConf(spec: ClusterSpec, clusterId: string, members: readonly ClusterMember[], myselfId: string): string {
  const withShardIds = findEngineVersion(spec.engine, spec.version)?.shardIds === true;
  const places = placesById(spec, clusterId);
  const lines = members.map((member) => {
    const shard = places.get(member.primaryId === '' ? member.nodeId : member.primaryId)?.shard;
    const aux = withShardIds && shard !== undefined ? `,,shard-id=${shardIdOf(clusterId, shard)}` : '';
    const flags = `${member.nodeId === myselfId ? 'myself,' : ''}${member.role === 'primary' ? 'master' : 'slave'}`;
    const address = `${member.address}:${ports.server}@${ports.bus}${aux}`;
    return [member.nodeId, address, flags, member.primaryId || '-', 0, 0, member.epoch, 'connected', ...member.slots.map(formatRange)].join(
      ' ',
    );
  });
  const epoch = Math.max(0, ...members.map((member) => member.epoch));
  return `${lines.join('\n')}\nvars currentEpoch ${epoch} lastVoteEpoch 0\n`;
}

/**
 * The address of the primary in sentinel mode: of the node that says that it is one, and has most replicas; without any, of the node that a new
 * cluster begins with.
 */
export function sentinelPrimary(spec: ClusterSpec, subnet: string, observation: Observation): string {
  const primaries = observation.nodes.filter(answered).filter((node) => node.role === 'primary');
  const [first] = placesOf(spec);
  const initial = first === undefined ? '' : addressOf(first, subnet);
  return primaries.toSorted((a, b) => b.replication.replicas - a.replication.replicas)[0]?.address ?? initial;
}
