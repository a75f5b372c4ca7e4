import type { ClusterSpec } from '../config/cluster-spec.ts';

/** What Holdfast has on record of a cluster, before anything was asked of the engine. */
export interface KnownCluster {
  /** From the cluster's sealed record; missing before the first provision. */
  readonly clusterId?: string;
  /** The spec that was accepted last, and its generation. */
  readonly spec?: ClusterSpec;
  readonly generation: number;
  /** Where the spec came from. `record`: the keeper is gone and the bucket's copy was read. */
  readonly source: 'keeper' | 'record' | 'none';
}
