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

export const newTimelineId = (at: Date, random: string): string =>
  `${at.toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z-${random.slice(0, 8)}`;

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
  replid: z.strictObject({ replid: z.string().regex(/^[0-9a-f]{40}$/) }),
  /** From here on the shard has these slots. */
  slots: z.strictObject({ slots: z.string() }),
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
