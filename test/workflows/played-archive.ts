import { cancellationSignal, cancelled } from '@temporalio/activity';
import type { ArchiveActivities } from '../../activities/archive-activities.ts';
import { report } from '../../activities/support/beating.ts';
import type { ShardArchiveProgress } from '../../config/archive.ts';
import type { World } from './played-cluster.ts';

/** Shards that are archived until they are cancelled. */
export const playedArchive = (current: () => World): ArchiveActivities => ({
  async archiveShard({ shard }) {
    const { archived } = current();
    if (archived.has(shard)) throw new Error(`shard ${shard} is archived twice`);
    archived.add(shard);
    report({ shard, atMs: Date.now(), archivedToMs: Date.now(), node: 'a node', segments: 1, bytes: 1 } satisfies ShardArchiveProgress);
    try {
      await cancelled();
    } finally {
      archived.delete(shard);
    }
    cancellationSignal().throwIfAborted();
  },
  tendArchive: async () => [],
});
