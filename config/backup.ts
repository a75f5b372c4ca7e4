import { z } from 'zod';
import { clusterName } from './cluster-spec.ts';
import { slotRanges } from './migration.ts';
import { sealedFacts } from './sealed.ts';

/** The manifest of a backup: written last, so that what has one is whole. docs/backup-format.md describes it for people. */

/** Another layout of the manifest is another word. */
export const BACKUP_FORMAT = 'holdfast-backup-1';

/** Sorts by the time at which the backup began. */
export const backupId = z
  .string()
  .regex(/^\d{8}T\d{6}Z-[0-9a-f]{8}$/, 'the id of a backup looks like 20261121T091700Z-0123abcd')
  .describe('Id of the backup: when it began, to the second, in UTC, and a random part.');

/** One backup of a cluster, as a person names it. */
export const backupChoice = z
  .string()
  .regex(/^(latest|\d{8}T\d{6}Z-[0-9a-f]{8})$/, 'give the id of a backup, such as 20261121T091700Z-0123abcd, or latest')
  .describe('Id of the backup, or `latest`: the newest one.');

/** @param random 8 hex digits. */
export const newBackupId = (at: Date, random: string): string => `${at.toISOString().replace(/\.\d+Z$|[-:]/g, '')}Z-${random}`;

const instant = z.iso.datetime({ precision: 3 });
const count = z.int().min(0);
const milliseconds = z.int().min(0);

const server = z
  .strictObject({
    engine: z.enum(['redis', 'valkey']).describe('Which server it was.'),
    version: z
      .string()
      .regex(/^\d+\.\d+\.\d+/)
      .describe('Its version, as INFO tells it.'),
  })
  .describe('The server that the data came from, or that read it.');

/** One shard's data, and its place in the shard's stream of writes. */
export const shardBackup = z.strictObject({
  shard: count.describe('Number of the shard, from 0.'),
  key: z.string().min(1).describe('Key of the sealed object in the bucket.'),
  object: sealedFacts.describe('The sealed object at that key. It holds an RDB file.'),
  replid: z
    .string()
    .regex(/^[0-9a-f]{40}$/, 'a replication id is 40 hex digits')
    .describe('Replication id of the stream that the RDB belongs to.'),
  offset: count.describe('Replication offset of the RDB: the first write after it begins at the next byte.'),
  slots: z
    .union([z.literal(''), slotRanges])
    .describe('Slots of the shard when the RDB was taken, as `0-99,200`; empty for a shard without slots, and in sentinel mode.'),
  node: z.string().min(1).describe('Name of the node that the RDB came from.'),
  server,
  database: count.describe('Number of the first database in the RDB; 0 in cluster mode, where there is no other.'),
  keys: count.describe('Keys in that database, as the RDB itself counts them: what was there at its point of the stream.'),
  functions: count.describe('Function libraries in the RDB.'),
  startedAt: instant.describe('When the server was asked for the RDB. Writes acknowledged before that are in it.'),
  tookMs: milliseconds.describe('How long it took until the object was complete in the bucket, in ms.'),
});
export type ShardBackup = z.output<typeof shardBackup>;

/** What a server found when it loaded the backup. */
export const verification = z.strictObject({
  how: z
    .enum(['opened', 'checked', 'loaded'])
    .describe(
      '`opened`: every frame and both digests; `checked`: and the RDB by the server’s own check; `loaded`: and a server has loaded it.',
    ),
  at: instant.describe('When it ended.'),
  tookMs: milliseconds.describe('How long it took, in ms.'),
  server: server.optional(),
  shards: z
    .array(
      z.strictObject({
        shard: count.describe('Number of the shard.'),
        keys: count.describe('Keys that were there.'),
        functions: count.describe('Function libraries that were there.'),
      }),
    )
    .describe('What was counted, shard by shard; empty when nothing was loaded.'),
});
export type Verification = z.output<typeof verification>;

/** What a verification found amiss. */
export const backupDamage = z.strictObject({
  at: instant.describe('When it was found.'),
  type: z.string().min(1).describe('Kind of the failure: `ObjectDamaged`, `ObjectMissing` or `BackupNotGood`.'),
  why: z.string().describe('What was found, for a person.'),
});
export type BackupDamage = z.output<typeof backupDamage>;

/** A person's word that the backup stays, whatever the retention says. */
export const backupHold = z.strictObject({
  by: z.string().min(1).describe('Who asked for it.'),
  reason: z.string().describe('Why.'),
  since: instant.describe('Since when.'),
});

export type BackupHold = z.output<typeof backupHold>;

const twice = (values: readonly (number | string)[]): boolean => new Set(values).size !== values.length;

/** The ACL of the cluster beside its data. */
export const aclBackup = z.strictObject({
  key: z.string().min(1).describe('Key of the sealed object in the bucket.'),
  object: sealedFacts.describe('The sealed object at that key. It holds an ACL file: rules, and hashes of passwords.'),
});
export type AclBackup = z.output<typeof aclBackup>;

/** What a backup is, with where its parts lie. */
export const backupManifest = z
  .strictObject({
    format: z.literal(BACKUP_FORMAT).describe('Version of this layout.'),
    id: backupId,
    cluster: clusterName.describe('Name of the cluster.'),
    clusterId: z.uuid().describe('Tells the cluster from an earlier or later one of the same name.'),
    generation: count.describe('Generation of the spec.'),
    spec: z
      .looseObject({ name: clusterName })
      .describe('The spec that the cluster had. Kept as it was: a later version of Holdfast must be able to read the rest.'),
    label: z.string().min(1).max(200).optional().describe('What a person called it.'),
    keepUntil: instant.optional().describe('Not removed by retention before.'),
    hold: backupHold.optional().describe('Not removed at all while this is there.'),
    startedAt: instant.describe('When the backup began.'),
    finishedAt: instant.describe('When its last object was complete in the bucket.'),
    shards: z.array(shardBackup).min(1).describe('The shards, in the order of their numbers.'),
    acl: aclBackup.optional().describe('The users and their rules.'),
    verified: verification.optional().describe('The last verification that found everything right.'),
    damaged: backupDamage.optional().describe('A later verification found this; gone when another one finds everything right.'),
  })
  .superRefine((manifest, context) => {
    const refuse = (message: string) => context.addIssue({ code: 'custom', path: ['shards'], message });
    const { shards } = manifest;
    if (shards.some(({ shard }, at) => at > 0 && shard <= (shards[at - 1]?.shard ?? 0)))
      refuse('shards stand in the order of their numbers');
    if (twice(shards.map(({ key }) => key)) || twice(shards.map(({ object }) => object.id))) refuse('two shards name the same object');
    if (overlap(shards.map(({ slots }) => slots))) refuse('a slot belongs to two shards');
  });
export type BackupManifest = z.output<typeof backupManifest>;

/** The one place that says which backups may be called verified: a server has loaded it, and nothing was found amiss since. */
export const isVerified = ({ verified, damaged }: Pick<BackupManifest, 'verified' | 'damaged'>): boolean =>
  verified?.how === 'loaded' && damaged === undefined;

/** A backup in a list. */
export interface BackupSummary {
  readonly id: string;
  readonly cluster: string;
  readonly label?: string;
  readonly keepUntil?: string;
  readonly held: boolean;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly server: string;
  readonly shards: number;
  readonly keys: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** What the last verification proved; missing when there was none, or it failed. Only `loaded` may be called verified. */
  readonly proof?: { readonly how: Verification['how']; readonly at: string };
  /** What the last verification found amiss. */
  readonly damaged?: BackupDamage;
  /** Why its manifest cannot be read, and what to do. Then only `id` and `startedAt` are known, and rotations leave it alone. */
  readonly unreadable?: string;
}

/** What an operation tells of the backup that it made or verified. */
export interface BackupReport {
  readonly id: string;
  readonly shards: number;
  readonly keys: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  /** Until everything was stored, in ms. */
  readonly storedMs: number;
  /** A server has loaded it and found every key. */
  readonly verified: boolean;
  readonly how: Verification['how'];
}

/** Input of the workflow `listBackups`. */
export const listBackupsInput = z.strictObject({
  cluster: clusterName,
  limit: z.int().min(1).max(1000).default(50).describe('So many of the newest.'),
});

/** Input of the workflow `showBackup`. */
export const showBackupInput = z.strictObject({ cluster: clusterName, backup: backupChoice });

/** Whether a slot is in two of these lists. By their ends: a list of backups reads a thousand manifests. */
function overlap(lists: readonly string[]): boolean {
  const ranges = lists
    .flatMap((ranges) => (ranges === '' ? [] : ranges.split(',')))
    .map((range) => {
      const [from = 0, to = from] = range.split('-').map(Number);
      return { from, to };
    })
    .toSorted((a, b) => a.from - b.from);
  return ranges.some(({ from }, at) => at > 0 && from <= (ranges[at - 1]?.to ?? -1));
}
