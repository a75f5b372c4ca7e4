import type { ClusterSpec } from '../config/cluster-spec.ts';
import { assess } from './health.ts';
import type { KnownCluster } from './known-cluster.ts';
import { nodeIdOf, placesOf } from './layout.ts';
import type { Observation } from './observation.ts';

/** Findings that stand in no operation's way: full memory may be why it is asked for, and what is set to leave does so now. */
const HARMLESS = new Set(['memory', 'empty-primary', 'members', 'retired']);

/**
 * Why a cluster cannot change its shape now: what is amiss with the nodes of its spec. Nodes of the new shape that an operation left which
 * somebody terminated do not count: they are taken up again; those of nobody do.
 */
export function refuseUnsound(spec: ClusterSpec, larger: ClusterSpec, known: KnownCluster, observation: Observation): readonly string[] {
  const findings = assess(spec, observation).findings.filter(({ severity, code }) => severity !== 'info' && !HARMLESS.has(code));
  const ours = new Set(placesOf(larger).map((place) => nodeIdOf(known.clusterId ?? '', place.name)));
  const strangers = (observation.views[0]?.members ?? []).filter(({ nodeId }) => !ours.has(nodeId));
  return [
    ...findings.slice(0, 5).map(({ subject, message, next }) => `${subject}: ${message}. Next: ${next}`),
    ...strangers.map(
      ({ address }) => `${address} is a member that no spec knows: make the nodes forget it (CLUSTER FORGET), or find out whose it is`,
    ),
  ];
}
