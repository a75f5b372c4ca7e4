import { ApplicationFailure } from '@temporalio/common';
import { failures } from '../../config/failures.ts';
import { backupKeys, parseFactKey, parseSegmentKey } from '../../config/names.ts';
import type { Timeline } from '../../model/recovery/archive.ts';
import type { Folder, Listed } from '../../model/recovery/orphans.ts';
import { readArchive } from '../archive/read-archive.ts';
import type { ObjectStore, StoredObject } from '../storage/object-store.ts';

export const listed = (objects: readonly StoredObject[]): readonly Listed[] =>
  objects.map(({ key, modifiedAt }) => ({ key, modifiedMs: modifiedAt.getTime() }));

export interface ArchivedShards {
  readonly timelines: readonly Timeline[];
  readonly folders: readonly Folder[];
}

/** What is archived of all shards of a cluster, with the folders that it lies in. A shard that another version of Holdfast wrote is left as it is. */
export async function readShards(store: ObjectStore, cluster: string): Promise<ArchivedShards> {
  const objects = await store.listObjects(backupKeys.archives(cluster));
  const shards = [...new Set(objects.map(({ key }) => Number(key.split('/')[2])))].filter(Number.isInteger);
  const timelines = new Map<string, Timeline>();
  const closed = new Set<number>();
  for (const shard of shards) {
    const found = await readArchive(store, cluster, shard).catch((error: unknown) => {
      if (error instanceof ApplicationFailure && error.type === failures.formatNotSupported) return undefined;
      throw error;
    });
    if (found === undefined) closed.add(shard);
    for (const timeline of found ?? []) timelines.set(backupKeys.timeline(cluster, shard, timeline.begin.id), timeline);
  }
  const folders = Map.groupBy(objects, ({ key }) => `${key.split('/').slice(0, 4).join('/')}/`);
  return {
    timelines: [...timelines.values()],
    folders: [...folders].map(([prefix, its]): Folder => {
      const shard = Number(prefix.split('/')[2]);
      const timeline = timelines.get(prefix);
      const named = closed.has(shard) ? () => true : timeline === undefined ? undefined : namedBy(prefix, timeline);
      return { prefix, objects: listed(its), ...(named === undefined ? {} : { named }) };
    }),
  };
}

function namedBy(prefix: string, { begin }: Timeline): (key: string) => boolean {
  const own = new Set([begin.base.key, `${prefix}begin.json`]);
  return (key) => own.has(key) || parseSegmentKey(key) !== undefined || parseFactKey(key) !== undefined;
}
