import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { ClusterSummary } from '../config/status.ts';
import { hostOf } from './known-cluster.ts';

interface Recorded {
  readonly spec: ClusterSpec;
  readonly generation: number;
}

interface HostClusters {
  readonly host: string;
  /** Undefined when the host could not be asked. */
  readonly clusters: readonly { readonly cluster: string; readonly running: number; readonly containers: number }[] | undefined;
}

/** Clusters by name, from what is on record and what hosts hold. */
export function summariseClusters(records: readonly Recorded[], hosts: readonly HostClusters[]): readonly ClusterSummary[] {
  const found = hosts.flatMap(({ clusters }) => clusters ?? []);
  const silent = new Set(hosts.filter(({ clusters }) => clusters === undefined).map(({ host }) => host));
  const names = [...new Set([...records.map((record) => record.spec.name), ...found.map((one) => one.cluster)])].sort();
  return names.map((cluster) => {
    const record = records.find((one) => one.spec.name === cluster);
    const { running = 0, containers = 0 } = found.find((one) => one.cluster === cluster) ?? {};
    if (record === undefined) return { cluster, running, containers, state: 'orphaned' };
    const { engine, version, mode, shards, replicasPerShard } = record.spec;
    const state = silent.has(hostOf(record.spec)) ? 'unreachable' : containers === 0 ? 'orphaned' : 'kept';
    return { cluster, engine, version, mode, shards, replicasPerShard, generation: record.generation, running, containers, state };
  });
}
