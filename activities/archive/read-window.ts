import type { RecoveryWindow } from '../../config/archive.ts';
import { recoveryWindow } from '../../model/recovery/window.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { readRecoverable } from './read-recoverable.ts';

/** Where a cluster can be brought back to; also one that is gone. */
export async function readRecoveryWindow(store: ObjectStore, cluster: string): Promise<RecoveryWindow> {
  return recoveryWindow(cluster, (await readRecoverable(store, cluster)).shards);
}
