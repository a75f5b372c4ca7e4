import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { KnownCluster } from './known-cluster.ts';
import { type NodePlace, nodeIdOf, placesOf } from './layout.ts';
import { answered, type Observation } from './observation.ts';

/** The one of two sizes of a cluster that names every node that takes part. */
export const largerOf = (a: ClusterSpec, b: ClusterSpec): ClusterSpec => (placesOf(b).length > placesOf(a).length ? b : a);

/** Nodes of one spec that another does not have. */
export function missingIn(spec: ClusterSpec, of: ClusterSpec): readonly NodePlace[] {
  const has = new Set(placesOf(spec).map(({ name }) => name));
  return placesOf(of).filter(({ name }) => !has.has(name));
}

/** Nodes that say that they are a primary. */
export const primariesOf = ({ nodes }: Observation): ReadonlySet<string> =>
  new Set(
    nodes
      .filter(answered)
      .filter(({ role }) => role === 'primary')
      .map(({ name }) => name),
  );

/**
 * What stays, when the cluster has forgotten nodes that leave: an operation removed them and did not come to its end. Undefined when it has not;
 * then whatever is amiss with them counts. Those that stay say what was forgotten: nodes that were forgotten still know all others, and may be more.
 */
export function withoutForgotten(observation: Observation, leaving: readonly NodePlace[], known: KnownCluster): Observation | undefined {
  const leaves = new Set(leaving.map(({ name }) => name));
  const stayers = (seenBy: readonly string[]) => seenBy.filter((name) => !leaves.has(name)).length;
  const views = observation.views.toSorted((a, b) => stayers(b.seenBy) - stayers(a.seenBy));
  const [view] = views.filter(({ seenBy }) => stayers(seenBy) > 0);
  const members = new Set(view?.members.map(({ nodeId }) => nodeId));
  const gone = new Set(leaving.map(({ name }) => name).filter((name) => !members.has(nodeIdOf(known.clusterId ?? '', name))));
  if (members.size === 0 || gone.size === 0) return undefined;
  const stays = ({ name }: { readonly name: string }) => !gone.has(name);
  return {
    ...observation,
    containers: observation.containers.filter(stays),
    nodes: observation.nodes.filter(stays),
    views: views.filter(({ seenBy }) => seenBy.some((name) => stays({ name }))),
  };
}

/**
 * Sentinel mode: the nodes of both sizes, measured by the smaller one; those must be sound. The others come or go, and an operation that did not
 * come to its end may have left them in any state, and sentinels that still count them. But a primary counts whichever it is.
 */
export function inBothSizes(
  spec: ClusterSpec,
  newSpec: ClusterSpec,
  observation: Observation,
): { readonly spec: ClusterSpec; readonly observation: Observation } {
  const larger = largerOf(spec, newSpec);
  const smaller = larger === spec ? newSpec : spec;
  const passing = new Set(missingIn(smaller, larger).map(({ name }) => name));
  const leads = primariesOf(observation);
  const counts = ({ name }: { readonly name: string }) => !passing.has(name) || leads.has(name);
  const [least, most] = [smaller.replicasPerShard, larger.replicasPerShard];
  return {
    spec: smaller,
    observation: {
      ...observation,
      containers: observation.containers.filter(counts),
      nodes: observation.nodes.filter(counts),
      sentinels: observation.sentinels.map((one) =>
        one.answers && one.replicas > least && one.replicas <= most ? { ...one, replicas: least } : one,
      ),
    },
  };
}
