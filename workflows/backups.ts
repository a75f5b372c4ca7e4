import { type BackupManifest, type BackupSummary, listBackupsInput, showBackupInput } from '../config/backup.ts';
import { failures } from '../config/failures.ts';
import { parseInput } from '../config/input.ts';
import { fail, plainly } from './support/failure.ts';
import { controlReads } from './support/proxies.ts';

/** The backups of a cluster, newest first; also of one that is gone. Takes no lock: it only looks. */
export async function listBackups(raw: unknown): Promise<readonly BackupSummary[]> {
  const parsed = parseInput(listBackupsInput, raw, 'listBackups');
  if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
  return plainly(() => controlReads.listBackups(parsed.value.cluster, parsed.value.limit));
}

/** All that is known of one backup: its manifest. */
export async function showBackup(raw: unknown): Promise<BackupManifest> {
  const parsed = parseInput(showBackupInput, raw, 'showBackup');
  if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
  return plainly(() => controlReads.readBackup(parsed.value.cluster, parsed.value.backup));
}
