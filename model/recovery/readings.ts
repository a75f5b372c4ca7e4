import type { ArchiveCut } from './archive-retention.ts';
import type { ClusterSource } from './shard-recovery.ts';

/** What an operation reads of a cluster's backups and archive, and needs until it is over. */
export interface Reading {
  /** The id of its workflow. */
  readonly by: string;
  /** Ids of backups. */
  readonly backups: readonly string[];
  readonly timelines: readonly { readonly shard: number; readonly timeline: string }[];
}

export const readsOf = ({ shards }: ClusterSource): Omit<Reading, 'by'> => ({
  backups: [...new Set(shards.flatMap(({ backup }) => backup ?? []))].toSorted(),
  timelines: shards.flatMap(({ shard, timeline, until }) =>
    [...new Set([timeline, until?.timeline])].flatMap((one) => (one === undefined ? [] : [{ shard, timeline: one }])),
  ),
});

/** What to ask for to find the same data once more. Not every shard has writes up to the moment: one that had no slots begins with any base of its own. */
export function sameAs({ shards }: ClusterSource): { readonly backup: string } | { readonly atMs: number } {
  const atMs = shards.find(({ until }) => until !== undefined)?.until?.atMs;
  return atMs === undefined ? { backup: shards[0]?.backup ?? '' } : { atMs };
}

/** Backups that stay since somebody reads them, with the reason. */
export const backupsInUse = (readings: readonly Reading[]): ReadonlyMap<string, string> =>
  new Map(readings.flatMap(({ by, backups }) => backups.map((id) => [id, `${by} reads it`] as const)));

export const isRead = (readings: readonly Reading[], shard: number, timeline: string): boolean =>
  readings.some(({ timelines }) => timelines.some((one) => one.shard === shard && one.timeline === timeline));

/** Timelines that are read are cut another time. */
export const cutsBesides = (cuts: readonly ArchiveCut[], readings: readonly Reading[]): readonly ArchiveCut[] =>
  cuts.filter(({ shard, timeline }) => !isRead(readings, shard, timeline));
