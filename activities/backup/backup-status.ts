import type { Client } from '@temporalio/client';
import { type BackupManifest, isVerified } from '../../config/backup.ts';
import type { BackupStatus } from '../../config/status.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { messageOf } from '../support/failure.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { within } from '../support/within.ts';
import { describeSchedule } from '../temporal/schedules.ts';
import { backupIds, readManifest } from './catalogue.ts';
import { manifestsOf } from './read-manifests.ts';

/** Somebody waits for the answer, and the rest of it does not depend on this. */
const ANSWER_WITHIN_MS = 4000;
/** So many of the newest are read by themselves until one is verified; beyond, all are, with what the index has of them. */
const MOST = 64;
const AT_ONCE = 8;

/** What is stored of a cluster and what its schedule does. What cannot be asked now is told as that; it never fails. */
export async function readBackupStatus(client: Client, store: ObjectStore, cluster: string): Promise<BackupStatus> {
  const unknown: string[] = [];
  const ask = async <T>(what: string, question: Promise<T>): Promise<T | undefined> => {
    try {
      return await within(ANSWER_WITHIN_MS, question);
    } catch (error) {
      unknown.push(`${what}: ${messageOf(error)}`);
      return undefined;
    }
  };
  const [schedule, stored] = await Promise.all([
    ask('its schedule', describeSchedule(client, cluster)),
    ask('its backups', newest(store, cluster)),
  ]);
  return { ...(schedule === undefined ? {} : { schedule }), ...stored, unknown };
}

async function newest(store: ObjectStore, cluster: string): Promise<Pick<BackupStatus, 'backups' | 'newest' | 'newestVerified'>> {
  const ids = await backupIds(store, cluster);
  let first: BackupManifest | undefined;
  let verified: BackupManifest | undefined;
  for (let at = 0; at < Math.min(MOST, ids.length) && verified === undefined; at += AT_ONCE) {
    const read = await sideBySide(ids.slice(at, at + AT_ONCE), AT_ONCE, (id) => readManifest(store, cluster, id).catch(unreadable));
    const manifests = read.flatMap((manifest) => manifest ?? []);
    first ??= manifests[0];
    verified = manifests.find(isVerified);
  }
  if (verified === undefined && ids.length > MOST)
    verified = (await manifestsOf(store, cluster)).flatMap(({ manifest }) => manifest ?? []).find(isVerified);
  return {
    backups: ids.length,
    ...(first === undefined ? {} : { newest: told(first) }),
    ...(verified === undefined ? {} : { newestVerified: told(verified) }),
  };
}

const told = ({ id, startedAt }: BackupManifest) => ({ id, startedAt });

/** A manifest of another version says nothing here, and one that cannot be read now is told by the listing. */
const unreadable = (): undefined => undefined;
