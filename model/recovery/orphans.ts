/** An object as a listing shows it. */
export interface Listed {
  readonly key: string;
  readonly modifiedMs: number;
}

/** What lies in the bucket under a cluster's name, sorted into folders, of which each is a backup or a timeline. */
export interface Folder {
  /** Ends with a slash. */
  readonly prefix: string;
  readonly objects: readonly Listed[];
  /** Keys that its manifest or `begin.json` stands for; undefined when it has none, so that it is no backup and no timeline. */
  readonly named?: (key: string) => boolean;
}

export interface Orphans {
  /** Folders without what makes them a whole. */
  readonly folders: readonly string[];
  /** Single objects that their folder does not know. */
  readonly objects: readonly string[];
  readonly uploads: readonly { readonly key: string; readonly uploadId: string }[];
}

/**
 * What nobody owns. A backup that runs now has no manifest yet, and looks the same: so nothing counts before its grace time is over, and of a folder its newest
 * object counts; and what the archive is making never does.
 */
export function findOrphans(
  folders: readonly Folder[],
  uploads: readonly { readonly key: string; readonly uploadId: string; readonly begunMs: number }[],
  {
    nowMs,
    graceMs,
    isBeingMade = () => false,
  }: { readonly nowMs: number; readonly graceMs: number; readonly isBeingMade?: (key: string) => boolean },
): Orphans {
  const old = (ms: number) => ms + graceMs <= nowMs;
  return {
    folders: folders
      .filter(
        ({ prefix, objects, named }) => named === undefined && !isBeingMade(prefix) && objects.every(({ modifiedMs }) => old(modifiedMs)),
      )
      .map(({ prefix }) => prefix),
    objects: folders.flatMap(({ objects, named }) =>
      named === undefined ? [] : objects.filter(({ key, modifiedMs }) => !named(key) && old(modifiedMs)).map(({ key }) => key),
    ),
    uploads: uploads.filter(({ key, begunMs }) => old(begunMs) && !isBeingMade(key)).map(({ key, uploadId }) => ({ key, uploadId })),
  };
}

/** What an archive that runs may be making: timelines without a base that are newer than every one that has one, and segments of the newest that has. An older one is given up. */
export function beingMade(timelines: readonly Folder[]): (key: string) => boolean {
  const newest = new Map<string, string>();
  const placeOf = (key: string) => {
    const [root, cluster, shard, timeline] = key.split('/');
    return { shard: `${root}/${cluster}/${shard}`, timeline: timeline ?? '' };
  };
  for (const { prefix, named } of timelines) {
    const { shard, timeline } = placeOf(prefix);
    if (named !== undefined && timeline > (newest.get(shard) ?? '')) newest.set(shard, timeline);
  }
  return (key) => {
    const { shard, timeline } = placeOf(key);
    return key.startsWith('archive/') && timeline >= (newest.get(shard) ?? '');
  };
}
