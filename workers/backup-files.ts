import { readFile } from 'node:fs/promises';
import { openFolder } from '../activities/backup/backup-folder.ts';
import { type Carried, type CarryOptions, exportBackup } from '../activities/backup/export-backup.ts';
import { importBackups } from '../activities/backup/import-backup.ts';
import { type MasterKeys, parseMasterKeys } from '../activities/secrets/master-keys.ts';
import { createSecretStore } from '../activities/secrets/secret-store.ts';
import { createObjectStore } from '../activities/storage/object-store.ts';
import { fatal, messageOf } from '../activities/support/failure.ts';
import { failures } from '../config/failures.ts';
import type { Settings } from '../config/settings.ts';

/**
 * A backup out of the bucket into a folder; for a person who may read the bucket. Needs neither Temporal nor a worker, nor the master key.
 * @throws what `exportBackup` throws, StoreUnreachable
 */
export async function takeOut(
  settings: Settings,
  { cluster, backup, folder }: { readonly cluster: string; readonly backup: string; readonly folder: string },
  options: CarryOptions = {},
): Promise<Carried> {
  const store = createObjectStore(settings);
  try {
    return await exportBackup(store, openFolder(folder), { cluster, backup }, options);
  } finally {
    store.close();
  }
}

/**
 * The backups of a folder into the bucket; for a person who may write to the bucket and has the master key.
 * @param sealedUnder file with the master keys of where they come from, when they are others
 * @throws what `importBackups` throws, StoreUnreachable
 */
export async function bringIn(
  settings: Settings,
  { folder, sealedUnder }: { readonly folder: string; readonly sealedUnder?: string },
  options: CarryOptions = {},
): Promise<readonly Carried[]> {
  const theirs = sealedUnder === undefined ? {} : { sealedUnder: await readKeyFile(sealedUnder) };
  const store = createObjectStore(settings);
  try {
    const secrets = createSecretStore(settings, store, process.env);
    await store.ensureBucket();
    return await importBackups(store, openFolder(folder), { ...options, ...theirs, ringOf: (cluster) => secrets.keyRing(cluster) });
  } finally {
    store.close();
  }
}

async function readKeyFile(file: string): Promise<MasterKeys> {
  try {
    return parseMasterKeys(await readFile(file, 'utf8'));
  } catch (error) {
    throw fatal(failures.wrongMasterKey, `the master key in ${file} cannot be used: ${messageOf(error)}`);
  }
}
