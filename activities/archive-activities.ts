import { cancellationSignal } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { ShardArchiveSummary } from '../config/archive.ts';
import type { ClusterSpec } from '../config/cluster-spec.ts';
import { archiveShard } from './archive/archive-shard.ts';
import { lookAtShard } from './archive/shard-now.ts';
import { tendArchive } from './archive/tend-archive.ts';
import type { BackupDeps } from './backup/back-up-shard.ts';
import { askIfAwaited } from './support/awaited.ts';
import { beating, report } from './support/beating.ts';
import { readingsOf } from './temporal/readings.ts';

export interface ArchiveActivityDeps extends BackupDeps {
  readonly client: Client;
}

export interface ArchiveShardRequest {
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly shard: number;
}

/** A history that holds the same activity for ever cannot be begun anew. */
const FOR_MS = 86_400_000;

/** What lives as long as a cluster is archived: one activity for each shard, on a queue of their own. */
export function createArchiveActivities(deps: ArchiveActivityDeps) {
  return beating({
    /** Stores the writes of a shard as they come, for a day. */
    archiveShard: async ({ spec, clusterId, shard }: ArchiveShardRequest): Promise<void> => {
      const cluster = spec.name;
      await archiveShard(
        {
          store: deps.store,
          ring: await deps.secrets.keyRing(cluster),
          look: lookAtShard(deps, { spec, clusterId, shard }),
          signal: cancellationSignal(),
          confirm: askIfAwaited(deps.client),
          report,
        },
        { cluster, clusterId, shard, mode: spec.mode, rpoSeconds: spec.pitr.rpoSeconds, forMs: FOR_MS },
      );
    },
    /** Small segments of what was archived become fewer large ones, and what is there is counted. */
    tendArchive: async (cluster: string): Promise<readonly ShardArchiveSummary[]> => {
      const mergeDeps = { store: deps.store, ring: await deps.secrets.keyRing(cluster), signal: cancellationSignal() };
      return tendArchive(mergeDeps, cluster, undefined, await readingsOf(deps.client, cluster));
    },
  });
}

export type ArchiveActivities = ReturnType<typeof createArchiveActivities>;
