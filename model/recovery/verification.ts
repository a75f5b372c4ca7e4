import type { BackupDamage, BackupManifest, BackupReport, ShardBackup, Verification } from '../../config/backup.ts';
import { isVerified } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';

/** Failures that say something of the backup itself, and not of the host or the hour. */
const DAMAGE: ReadonlySet<string> = new Set([failures.objectDamaged, failures.objectMissing, failures.backupNotGood]);

/** Whether a verification that failed so has found the backup damaged. */
export const isDamage = (failure: string): boolean => DAMAGE.has(failure);

/**
 * The manifest after a verification that found everything right. Bytes that were only read are those that a server has loaded earlier, so that stays proved; and they do not disprove
 * that a server could not load them.
 */
export function withVerification(manifest: BackupManifest, verified: Verification): BackupManifest {
  const { damaged, ...rest } = manifest;
  const loaded = verified.how === 'loaded';
  return {
    ...rest,
    verified: loaded || manifest.verified?.how !== 'loaded' ? verified : manifest.verified,
    ...(damaged?.type === failures.backupNotGood && !loaded ? { damaged } : {}),
  };
}

/** The manifest after a verification that failed. What was proved before stays on record. */
export const withDamage = (manifest: BackupManifest, damaged: BackupDamage): BackupManifest => ({ ...manifest, damaged });

/** What an operation tells of a backup, with what its manifest says of verifications now. */
export function reportOf(manifest: BackupManifest, how: Verification['how']): BackupReport {
  const { id, shards, startedAt, finishedAt } = manifest;
  const sum = (of: (shard: ShardBackup) => number) => shards.reduce((total, shard) => total + of(shard), 0);
  return {
    id,
    shards: shards.length,
    keys: sum(({ keys }) => keys),
    plainBytes: sum(({ object }) => object.plainBytes),
    storedBytes: sum(({ object }) => object.storedBytes),
    storedMs: Date.parse(finishedAt) - Date.parse(startedAt),
    verified: isVerified(manifest),
    how,
  };
}
