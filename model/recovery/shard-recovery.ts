import type { BackupManifest, ShardBackup } from '../../config/backup.ts';
import type { PlannedRecovery } from '../../config/restore.ts';
import { canonicalJson, digest } from '../layout.ts';
import { parseRange, type SlotRange } from '../slots.ts';

/** Where the data of one shard comes from. */
export interface ShardSource {
  readonly shard: number;
  /** The cluster whose data it is: its keys open it. */
  readonly cluster: string;
  /** The backup that the base is part of. */
  readonly backup?: string;
  readonly base: ShardBackup;
  /** Slots of the shard at that moment, as a manifest has them. */
  readonly slots: string;
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
export const sourceOfBackup = ({ id, cluster, spec, shards, verified }: BackupManifest): ClusterSource => ({
  cluster,
  spec,
  what: `backup ${id}`,
  proven: verified?.how === 'loaded',
  shards: shards.map((base) => ({ shard: base.shard, cluster, backup: id, base, slots: base.slots })),
});

/** Tells the data of a shard from any other. What was laid out from the same source need not be laid out again. */
export const sourceId = (source: ShardSource): string => digest(canonicalJson({ ...source, base: source.base.object.id })).slice(0, 16);

export const rangesOf = (slots: string): readonly SlotRange[] => (slots === '' ? [] : slots.split(',').map(parseRange));

export const plannedRecovery = ({ shard, backup, base }: ShardSource): PlannedRecovery => ({
  shard,
  ...(backup === undefined ? {} : { backup }),
  baseBytes: base.object.plainBytes,
  writeBytes: 0,
  segments: 0,
  at: base.startedAt,
});
