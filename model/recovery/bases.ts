import type { BackupManifest } from '../../config/backup.ts';
import type { Base, Timeline } from './archive.ts';
import { proofOf } from './retention.ts';

/** Whether data may be brought back from a backup that nobody named: it was opened at least, and nothing was found amiss since. The archive has bases of its own. */
export const isUsable = (backup: BackupManifest): boolean => proofOf(backup) !== undefined;

/**
 * What a shard can be brought back from: what its timelines begin at, and its part of the backups.
 * @param backups those that are usable
 */
export const basesOf = (shard: number, timelines: readonly Timeline[], backups: readonly BackupManifest[]): readonly Base[] => [
  ...timelines.map(({ begin }) => ({ timeline: begin.id, data: begin.base })),
  ...backups.flatMap(({ id, shards }) => shards.filter((one) => one.shard === shard).map((data) => ({ backup: id, data }))),
];
