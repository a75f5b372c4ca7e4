import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { nodeIdOf, placesOf } from '../layout.ts';
import { answered, type Observation } from '../observation.ts';

/** What is still missing until every node of a spec is a member for all others; nothing, when they are. A primary without slots is one too. */
export function whyNotJoined(spec: ClusterSpec, clusterId: string, { nodes, views }: Observation): readonly string[] {
  const places = placesOf(spec).filter((place) => place.kind === 'data');
  const answers = new Map(nodes.filter(answered).map((node) => [node.name, node]));
  const reasons = places.filter((place) => !answers.has(place.name)).map((place) => `${place.name} does not answer`);
  if (views.length > 1) reasons.push('the nodes do not agree on who is there');
  const members = new Map(views[0]?.members.map((member) => [member.nodeId, member]));
  for (const place of places) {
    const [member, node] = [members.get(nodeIdOf(clusterId, place.name)), answers.get(place.name)];
    if (member === undefined) reasons.push(`most nodes do not know ${place.name} yet`);
    else if (member.flags.length > 0) reasons.push(`${place.name} is listed as ${member.flags.join(', ')}`);
    if (node === undefined) continue;
    if (node.unlinked.length > 0) reasons.push(`${place.name} has no link to ${node.unlinked.length} others`);
    if (node.role === 'primary' && node.clusterState !== 'ok') reasons.push(`${place.name} does not say yet that the cluster is ok`);
    if (node.role === 'replica' && node.replication.linkUp !== true) reasons.push(`${place.name} has no link to its primary yet`);
    if (node.loading || node.replication.syncing === true) reasons.push(`${place.name} copies its data`);
  }
  return reasons;
}
