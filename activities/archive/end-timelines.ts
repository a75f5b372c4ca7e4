import { endOfTimeline } from '../../model/recovery/archive.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { putFact } from './facts.ts';
import { archivedShards, readArchive } from './read-archive.ts';

export interface Ending {
  readonly because: 'switched-off' | 'removed';
  /** Of the shards from this number on. */
  readonly fromShard: number;
  /** Asks whether this attempt is still waited for. */
  readonly confirm: () => Promise<boolean>;
}

/**
 * The timelines of a cluster have ended; those that had before stay as they are. All are looked at first: as long as somebody waits for the end of these, no other one begins, and an attempt
 * that is frozen after that ends none that it has not seen.
 */
export async function endTimelines(store: ObjectStore, cluster: string, { because, fromShard, confirm }: Ending): Promise<void> {
  const shards = (await archivedShards(store, cluster)).filter((shard) => shard >= fromShard);
  const lasts = await Promise.all(shards.map(async (shard) => (await readArchive(store, cluster, shard)).at(-1)));
  const open = lasts.flatMap((last) => (last === undefined || last.end !== undefined ? [] : [last]));
  if (open.length === 0 || !(await confirm())) return;
  for (const timeline of open) {
    const { shard, id } = timeline.begin;
    await putFact(store, { cluster, shard, timeline: id, kind: 'end', offset: endOfTimeline(timeline).offset }, { because });
  }
}
