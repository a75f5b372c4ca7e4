import { endOfTimeline } from '../../model/recovery/archive.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { putFact } from './facts.ts';
import { archivedShards, readArchive } from './read-archive.ts';

/** The timelines of the shards from this number on have ended. Those that had ended before stay as they are. */
export async function endTimelines(store: ObjectStore, cluster: string, because: 'switched-off' | 'removed', fromShard = 0): Promise<void> {
  for (const shard of await archivedShards(store, cluster)) {
    if (shard < fromShard) continue;
    const last = (await readArchive(store, cluster, shard)).at(-1);
    if (last === undefined || last.end !== undefined) continue;
    const { offset } = endOfTimeline(last);
    await putFact(store, { cluster, shard, timeline: last.begin.id, kind: 'end', offset }, { because });
  }
}
