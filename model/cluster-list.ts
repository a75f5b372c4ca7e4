import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { ClusterSummary } from '../config/status.ts';

interface Recorded {
  readonly spec: ClusterSpec;
  readonly generation: number;
}

interface Found {
  readonly cluster: string;
  readonly running: number;
  readonly containers: number;
}

/** Clusters by name, from what is on record and what engines hold. */
export function summariseClusters(records: readonly Recorded[], found: readonly Found[]): readonly ClusterSummary[] {
  const names = [...new Set([...records.map((record) => record.spec.name), ...found.map((one) => one.cluster)])].sort();
  return names.map((cluster) => {
    const record = records.find((one) => one.spec.name === cluster);
    const held = found.find((one) => one.cluster === cluster);
    const { running = 0, containers = 0 } = held ?? {};
    if (record === undefined) return { cluster, running, containers, state: 'orphaned' };
    const { engine, version, mode, shards, replicasPerShard } = record.spec;
    return {
      cluster,
      engine,
      version,
      mode,
      shards,
      replicasPerShard,
      generation: record.generation,
      running,
      containers,
      state: containers === 0 ? 'orphaned' : 'kept',
    };
  });
}
