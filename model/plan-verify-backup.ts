import type { BackupManifest } from '../config/backup.ts';
import { clusterSpec } from '../config/cluster-spec.ts';
import type { VerifyBackupInput } from '../config/operations.ts';
import type { Plan } from '../config/progress.ts';
import { DEFAULT_HOST, hostOf } from './known-cluster.ts';
import { scratchBytes, verifyingSteps } from './plan-backup.ts';
import { count } from './words.ts';

export interface VerifyBackupPlan extends Plan {
  /** Docker host that it is loaded on. */
  readonly host: string;
  /** Memory of each server that loads a shard. */
  readonly memoryBytes: number;
}

/** Proves a stored backup by nothing but its manifest: the cluster may be gone. */
export function planVerifyBackup(manifest: BackupManifest, input: VerifyBackupInput): VerifyBackupPlan {
  const { id, cluster, shards } = manifest;
  const { data: spec } = clusterSpec.safeParse(manifest.spec);
  const bytes = shards.reduce((sum, { object }) => sum + object.storedBytes, 0);
  return {
    summary: `${id} of ${cluster}: ${count(shards.length, 'shard')}, ${Math.ceil(bytes / 1024 ** 2)} MiB stored, ${input.verify === 'load' ? 'loaded by a scratch server' : 'read again, loaded by no server'}`,
    steps: verifyingSteps(shards, input.verify, spec?.resources.memory ?? ''),
    refusals:
      spec === undefined && input.verify === 'load'
        ? [
            `the spec in the manifest of ${id} is one of a later version, so the memory of its servers is not known: use that version, or --verify checksum`,
          ]
        : [],
    host: input.host ?? (spec === undefined ? DEFAULT_HOST : hostOf(spec)),
    memoryBytes: spec === undefined ? 0 : scratchBytes(spec),
  };
}
