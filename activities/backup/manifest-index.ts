import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type BackupManifest, backupManifest } from '../../config/backup.ts';
import { backupKeys } from '../../config/names.ts';
import type { ObjectStore, StoredObject } from '../storage/object-store.ts';

/** A manifest as it was read, and which object it was. */
export interface IndexedManifest {
  readonly version: string;
  readonly manifest: BackupManifest;
}

export type ManifestIndex = ReadonlyMap<string, IndexedManifest>;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

let rules: string | undefined;
/** The first line but for the digest: whoever reads manifests by other rules reads them anew. */
const startOf = (): string => {
  rules ??= digest(JSON.stringify(z.toJSONSchema(backupManifest, { io: 'input' })));
  return `holdfast-index-1 ${rules}`;
};

/** Tells this very object from any other that had or will have its key; undefined where the store does not. */
export const versionOf = ({ etag, bytes, modifiedAt }: StoredObject): string | undefined =>
  etag === '' ? undefined : `${etag} ${bytes} ${modifiedAt.getTime()}`;

/** What was known of the manifests of a cluster when somebody last read them. It is only ever a shortcut: empty when it is missing, or anything is wrong with it. */
export async function readIndex(store: ObjectStore, cluster: string): Promise<ManifestIndex> {
  try {
    const text = Buffer.from((await store.get(backupKeys.index(cluster))) ?? []).toString();
    const end = text.indexOf('\n');
    const body = text.slice(end + 1);
    if (end === -1 || text.slice(0, end) !== `${startOf()} ${digest(body)}`) return new Map();
    return new Map(JSON.parse(body) as readonly (readonly [string, IndexedManifest])[]);
  } catch {
    return new Map(); // the manifests themselves are asked for next, and say what is wrong with the store
  }
}

/** Whoever writes last is right: what does not fit the next listing is read anew. */
export async function writeIndex(store: ObjectStore, cluster: string, index: ManifestIndex): Promise<void> {
  const body = JSON.stringify([...index]);
  // Without it the next one only takes longer.
  await store.put(backupKeys.index(cluster), `${startOf()} ${digest(body)}\n${body}`).catch(() => undefined);
}
