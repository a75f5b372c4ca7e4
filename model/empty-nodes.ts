import type { ClusterSpec } from '../config/cluster-spec.ts';
import { networkName } from '../config/names.ts';
import type { KnownCluster } from './known-cluster.ts';
import { type NodePlace, nodeIdOf, placesOf } from './layout.ts';
import { answered, type Observation } from './observation.ts';
import { countSlots } from './slots.ts';

/**
 * Why a node cannot be made anew in a cluster that holds data. An empty node must come back as a replica and nothing else: one that comes back as
 * a primary hides what was lost, and makes its replicas throw away what they still have.
 */
export function refuseEmptyNodes(spec: ClusterSpec, known: KnownCluster, observation: Observation): readonly string[] {
  const volumes = new Set(observation.volumes.map((volume) => volume.node));
  const data = placesOf(spec).filter((place) => place.kind === 'data');
  const running = new Set(observation.containers.filter((container) => container.state === 'running').map((container) => container.name));
  const shardRuns = (shard: number) => data.some((place) => place.shard === shard && running.has(place.name));
  // Without AOF a server that starts is as good as empty, while another of its shard has the data.
  const forgets = (place: NodePlace) => !spec.persistence.aof && !running.has(place.name) && shardRuns(place.shard);
  const empty = data.filter((place) => !volumes.has(place.name) || forgets(place));
  const refusals: string[] = [];
  if (observation.network === undefined && empty.length < data.length) {
    refusals.push(
      `network ${networkName(spec.name)} is gone, and the volumes hold its addresses: make it anew with its former subnet and Holdfast's labels, or restore a backup`,
    );
  }
  const gone = [...new Set(empty.map((place) => place.shard))].filter((shard) =>
    data.every((place) => place.shard !== shard || empty.includes(place)),
  );
  for (const shard of gone)
    refusals.push(`shard ${shard} has lost every volume, and with them its data: restore it from a backup, or deprovision and start anew`);
  for (const place of empty.filter(({ shard }) => !gone.includes(shard))) {
    const why =
      spec.mode === 'cluster' ? whyNotReplica(nodeIdOf(known.clusterId ?? '', place.name), observation) : whyNoPrimary(observation);
    if (why !== undefined)
      refusals.push(
        `${place.name} ${volumes.has(place.name) ? 'has no AOF to load' : 'has lost its volume'}, and cannot come back empty: ${why}`,
      );
  }
  return refusals;
}

/** In cluster mode the other nodes say who owns the slots. */
function whyNotReplica(nodeId: string, { views }: Observation): string | undefined {
  const [view] = views;
  if (view === undefined) return 'no other node answers to say who owns its slots; start those that have their volumes (docker start)';
  const slots = countSlots(view.members.find((member) => member.nodeId === nodeId)?.slots ?? []);
  return slots === 0
    ? undefined
    : `the cluster still says that it owns ${slots} slots; wait until its replica has taken over (some 10 s), or start that replica`;
}

/** In sentinel mode there must be a primary to follow. */
function whyNoPrimary({ nodes }: Observation): string | undefined {
  return nodes.filter(answered).some((node) => node.role === 'primary')
    ? undefined
    : 'no node is the primary now; wait until the sentinels have chosen one, or start the nodes that have their volumes (docker start)';
}
