import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { KnownCluster } from '../../model/known-cluster.ts';
import { fail } from './failure.ts';

/** The spec and id of a cluster that is kept. @throws ClusterNotFound */
export function requireKept(
  cluster: string,
  { spec, clusterId }: KnownCluster,
): { readonly spec: ClusterSpec; readonly clusterId: string } {
  if (spec !== undefined && clusterId !== undefined) return { spec, clusterId };
  throw fail(failures.clusterNotFound, `there is no cluster named ${cluster}: holdfast list shows those that are`);
}
