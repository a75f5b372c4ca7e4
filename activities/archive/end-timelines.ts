import { endOfTimeline } from '../../model/recovery/archive.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { putFact } from './facts.ts';
import { Superseded } from './line.ts';
import { archivedShards, readArchive } from './read-archive.ts';

/** Shards whose archives are read at once. */
const AT_ONCE = 4;

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
  const ends = await sideBySide(shards, AT_ONCE, async (shard) => {
    const last = (await readArchive(store, cluster, shard)).at(-1);
    if (last === undefined || last.end !== undefined) return undefined;
    return { shard, timeline: last.begin.id, offset: endOfTimeline(last).offset };
  });
  const open = ends.flatMap((end) => end ?? []);
  if (open.length > 0 && !(await confirm())) throw new Superseded('another attempt has taken over');
  for (const end of open) await putFact(store, { cluster, ...end, kind: 'end' }, { because });
}
