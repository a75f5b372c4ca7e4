import { type BackupManifest, isVerified, type ShardBackup } from '../../config/backup.ts';
import type { PlannedRecovery } from '../../config/restore.ts';
import { canonicalJson, digest } from '../layout.ts';
import { parseRange, type SlotRange } from '../slots.ts';

/** Writes that follow a base, up to a moment. */
export interface WritesUntil {
  readonly timeline: string;
  /** The moment that was asked for, ms since 1970. */
  readonly atMs: number;
  /** The last stamp at or before it: that far is certain. */
  readonly reachedMs: number;
  /** The bytes of the stream from the base to there, and the pieces that they lie in. */
  readonly bytes: number;
  readonly segments: number;
}

/** Where the data of one shard comes from. */
export interface ShardSource {
  readonly shard: number;
  /** The cluster whose data it is: its keys open it. */
  readonly cluster: string;
  /** The backup that the base is part of. */
  readonly backup?: string;
  /** The timeline that begins at the base. */
  readonly timeline?: string;
  readonly base: ShardBackup;
  /** Slots of the shard at that moment, as a manifest has them. */
  readonly slots: string;
  /** It is the data of a moment, and not simply the base's: slots may have moved since. */
  readonly atMoment?: boolean;
  /** What was written after the base; missing when it is the base alone. */
  readonly until?: WritesUntil;
  /** Keys have as much time left as they had then; else they end when they were to end. */
  readonly ttl?: 'shift';
}

/** Where the data of a cluster comes from. */
export interface ClusterSource {
  readonly cluster: string;
  /** The spec that the cluster had, as it was kept. */
  readonly spec: Readonly<Record<string, unknown>>;
  /** In a few words, for people: `backup <id>`. */
  readonly what: string;
  /** A server has loaded it once. */
  readonly proven: boolean;
  readonly shards: readonly ShardSource[];
}

/** The data of a backup. */
export function sourceOfBackup(manifest: BackupManifest): ClusterSource {
  const { id, cluster, spec, shards, damaged } = manifest;
  return {
    cluster,
    spec,
    what: `backup ${id}${damaged === undefined ? '' : ', which was found damaged'}`,
    proven: isVerified(manifest),
    shards: shards.map((base) => ({ shard: base.shard, cluster, backup: id, base, slots: base.slots })),
  };
}

/** Tells the data of a shard from any other. What was laid out from the same source need not be laid out again. */
export const sourceId = ({ cluster, base, slots, until, ttl }: ShardSource): string =>
  digest(
    canonicalJson({
      cluster,
      base: base.object.id,
      slots,
      ...(until && { timeline: until.timeline, atMs: until.atMs }),
      ...(ttl && { ttl }),
    }),
  ).slice(0, 16);

/** The same data, with times to live as they are wanted. */
export const withTtl = (source: ClusterSource, ttl: 'absolute' | 'shift'): ClusterSource =>
  ttl === 'absolute' ? source : { ...source, shards: source.shards.map((shard) => ({ ...shard, ttl })) };

export const rangesOf = (slots: string): readonly SlotRange[] => (slots === '' ? [] : slots.split(',').map(parseRange));

export const plannedRecovery = ({ shard, backup, base, until }: ShardSource): PlannedRecovery => ({
  shard,
  ...(backup === undefined ? {} : { backup }),
  baseBytes: base.object.plainBytes,
  writeBytes: until?.bytes ?? 0,
  segments: until?.segments ?? 0,
  ...(until === undefined ? {} : { asOf: new Date(until.atMs).toISOString() }),
  at: until === undefined ? base.startedAt : new Date(until.reachedMs).toISOString(),
});
