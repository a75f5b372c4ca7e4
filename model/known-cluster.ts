import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { RestoreMark } from '../config/restore.ts';

/** What Holdfast has on record of a cluster, before anything was asked of the engine. */
export interface KnownCluster {
  /** From the cluster's sealed record; missing before the first provision. */
  readonly clusterId?: string;
  /** The Docker host that it was begun on, from the sealed record. */
  readonly host?: string;
  /** The spec that was accepted last, and its generation. */
  readonly spec?: ClusterSpec;
  readonly generation: number;
  /** Where the spec came from. `record`: the keeper is gone and the bucket's copy was read. */
  readonly source: 'keeper' | 'record' | 'none';
  /** A restore into it has begun, and not ended: it may have part of the data. */
  readonly restoring?: RestoreMark;
}

/** The Docker host of a spec's nodes. */
export const hostOf = (spec: ClusterSpec): string => spec.placement.hosts[0] ?? DEFAULT_HOST;

/** The Docker host of a cluster of which perhaps no spec is on record. */
export const hostOfKnown = (known: KnownCluster): string => (known.spec === undefined ? (known.host ?? DEFAULT_HOST) : hostOf(known.spec));

export const DEFAULT_HOST = 'local';
