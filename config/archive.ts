import { z } from 'zod';
import { shardBackup } from './backup.ts';
import { clusterName } from './cluster-spec.ts';

/** Archives of a shard's writes: what of them is written in plain JSON. docs/backup-format.md is the whole format. */

export const ARCHIVE_FORMAT = 'holdfast-archive-1';

const count = z.int().min(0);
const instant = z.iso.datetime().describe('A moment in UTC.');

/** A timeline is named after when it began, so that they sort; the rest is random. */
export const timelineId = z
  .string()
  .regex(/^\d{8}T\d{6}Z-[0-9a-f]{8}$/, 'the id of a timeline looks like 20261121T091700Z-0123abcd')
  .describe('Id of the timeline.');

/** @param after the newest one that there is: it sorts before, whatever the clock says */
export function newTimelineId(at: Date, random: string, after?: string): string {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(after ?? '') ?? [];
  const before = year === undefined ? 0 : Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  const named = new Date(Math.max(at.getTime(), before + 1000));
  return `${named.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z-${random.slice(0, 8)}`;
}

/** `begin.json`, written when its base is complete. Never changed. */
export const timelineBegin = z.strictObject({
  format: z.literal(ARCHIVE_FORMAT).describe('Version of this layout.'),
  id: timelineId,
  cluster: clusterName.describe('Name of the cluster.'),
  clusterId: z.uuid().describe('Tells the cluster from an earlier or later one of the same name.'),
  shard: count.describe('Number of the shard.'),
  base: shardBackup.describe('The data that the stream begins at: a sealed RDB, and its place in the stream.'),
  because: z
    .enum(['first', 'gap', 'diverged', 'new-primary'])
    .describe(
      '`first`: the archive was switched on; `gap`: the server no longer had the writes that came next; `diverged`: a failover dropped writes that the archive already had; `new-primary`: the shard’s data came from elsewhere.',
    ),
  began: instant,
});
export type TimelineBegin = z.output<typeof timelineBegin>;

/**
 * Facts that come later: each is an object of its own, so that nothing is written twice and two attempts at once cannot undo each other's words. Their keys say where in the
 * stream and when; `backupKeys.fact`.
 */
export const archiveFacts = {
  /** From this offset on the stream has another replication id: a replica was promoted, and had all of it. */
  replid: z.strictObject({
    replid: z
      .string()
      .regex(/^[0-9a-f]{40}$/)
      .describe('The replication id from here on.'),
    dropped: count
      .optional()
      .describe('Bytes that were archived beyond this place, and that the new primary did not have: the failover dropped these writes.'),
  }),
  /** From here on the shard has these slots. */
  slots: z.strictObject({
    slots: z.string(),
    open: z.boolean().default(false).describe('Some slots are open: their keys are on their way to the shard, or from it.'),
    at: count.optional().describe('When that was seen, ms since 1970, by the clock of the primary.'),
    since: count.optional().describe('When it was seen to be otherwise for the last time.'),
  }),
  /** The stream ends here: what comes next is in a later timeline, or in none. */
  end: z.strictObject({ because: z.enum(['gap', 'diverged', 'new-primary', 'switched-off', 'removed']), next: timelineId.optional() }),
} as const;
export type FactKind = keyof typeof archiveFacts;

/** The `about` of a sealed segment: what its key says, which nobody can change here, and the databases that are selected where it begins and ends. */
export const segmentAbout = z.strictObject({
  cluster: clusterName.describe('Name of the cluster.'),
  shard: count.describe('Number of the shard.'),
  timeline: timelineId,
  startOffset: count.describe('Replication offset before its first byte.'),
  endOffset: count.describe('Replication offset after its last byte. The content is exactly as long as the difference.'),
  firstMs: count.describe('Its first stamp, ms since 1970.'),
  lastMs: count.describe('Its last stamp, ms since 1970.'),
  replid: z
    .string()
    .regex(/^[0-9a-f]{40}$/)
    .describe('Replication id that it came under.'),
  startDb: count.optional().describe('Database that is selected where it begins; missing while the server had not told.'),
  endDb: count.optional().describe('Database that is selected where it ends.'),
});
export type SegmentAbout = z.output<typeof segmentAbout>;

/** How far the archive of a shard is: what its activity says with every heartbeat. Times in ms since 1970. */
export interface ShardArchiveProgress {
  readonly shard: number;
  /** When it was said, by the worker's clock; once Temporal has told it on, by Temporal's. So are the other times, but for those of what is archived. */
  readonly atMs: number;
  readonly timeline?: string;
  /** The node that is followed now. */
  readonly node?: string;
  /** The last stamp that is stored, by the server's clock: everything written until then is. */
  readonly archivedToMs?: number;
  readonly offset?: number;
  /** When the oldest write came that is not stored yet; missing when all are. */
  readonly waitingSinceMs?: number;
  /** Of this attempt. */
  readonly segments: number;
  readonly bytes: number;
  /** Bytes of the base that is being stored. */
  readonly base?: number;
  /** What keeps it from going on, and since when. */
  readonly problem?: { readonly why: string; readonly sinceMs: number };
  /** Why the time cannot be written into the stream: without it no moment can be found again. */
  readonly clock?: string;
}

/** Input of the workflow `recoveryWindow`. */
export const recoveryWindowInput = z.strictObject({ cluster: clusterName });

/** To every moment in it, both ends included, a shard or a cluster can be brought back; ISO 8601, by the servers' clocks. */
export interface RecoverySpan {
  readonly from: string;
  readonly to: string;
}

/** A time to no moment of which a shard can be brought back by its archive. */
export interface RecoveryGap {
  /** The last moment before; missing when there is none. */
  readonly from?: string;
  /** The first moment after; missing while there is none. */
  readonly to?: string;
  readonly why: string;
}

export interface ShardRecoveryWindow {
  readonly shard: number;
  readonly spans: readonly RecoverySpan[];
  readonly gaps: readonly RecoveryGap[];
  /** Failovers that dropped writes which had been archived: what is brought back has none of them, as the shard itself. */
  readonly dropped: readonly { readonly offset: number; readonly bytes: number }[];
}

/** Where a cluster can be brought back to. */
export interface RecoveryWindow {
  readonly cluster: string;
  /** Of the cluster as a whole: every shard that it had can be brought back. */
  readonly spans: readonly RecoverySpan[];
  readonly earliest?: string;
  readonly latest?: string;
  readonly shards: readonly ShardRecoveryWindow[];
}

/** Input of the workflow `archive`. Operations start it, under the id of the cluster's archive. */
export const archiveInput = z.strictObject({ cluster: clusterName });

/** Names of its queries and signals. `changed`: the spec may be another one. `stop`: the cluster goes. */
export const archiveHandlers = { describe: 'describe', changed: 'changed', stop: 'stop' } as const;

/** The archive of a shard, as it was looked at last. */
export interface ShardArchiveSummary {
  readonly shard: number;
  readonly timelines: number;
  readonly segments: number;
  /** ISO 8601; missing while nothing can be brought back. */
  readonly from?: string;
  readonly to?: string;
  readonly gaps: number;
  /** Why it does not go on. */
  readonly problem?: string;
}

/** Answer to the query `describe` of the archive workflow. */
export interface ArchiveDescription {
  readonly cluster: string;
  readonly state: 'archiving' | 'ending' | 'waiting';
  /** What keeps all of it from going on. */
  readonly problem?: string;
  readonly shards: readonly ShardArchiveSummary[];
  /** When the shards were looked at; ISO 8601. */
  readonly lookedAt?: string;
}

/** The archive of a shard at this moment, as `status` shows it. */
export interface ShardArchiveStatus {
  readonly shard: number;
  /** Everything written until then is stored, by the server's clock; ISO 8601. */
  readonly archivedTo?: string;
  /** How long the oldest write waits that is not stored yet, in ms; 0 when all are. Missing when nobody follows the shard. */
  readonly lagMs?: number;
  /** The node that is followed. */
  readonly node?: string;
  readonly timeline?: string;
  readonly problem?: string;
  /** Why no times can be written into the stream. */
  readonly clock?: string;
}

/** The archive of a cluster at this moment. */
export interface ArchiveStatus {
  /** Whether its workflow runs. */
  readonly running: boolean;
  readonly shards: readonly ShardArchiveStatus[];
}
