import { type BackupManifest, type BackupSummary, listBackupsInput, showBackupInput } from '../config/backup.ts';
import { plainly } from './support/failure.ts';
import { readInput } from './support/input.ts';
import { controlReads } from './support/proxies.ts';

/** The backups of a cluster, newest first; also of one that is gone. Takes no lock: it only looks. */
export async function listBackups(raw: unknown): Promise<readonly BackupSummary[]> {
  const { cluster, limit } = readInput(listBackupsInput, raw, 'listBackups');
  return plainly(() => controlReads.listBackups(cluster, limit));
}

/** All that is known of one backup: its manifest. */
export async function showBackup(raw: unknown): Promise<BackupManifest> {
  const { cluster, backup } = readInput(showBackupInput, raw, 'showBackup');
  return plainly(() => controlReads.readBackup(cluster, backup));
}
