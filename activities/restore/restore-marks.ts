import { objectKeys } from '../../config/names.ts';
import { type RestoreMark, restoreMark } from '../../config/restore.ts';
import { readJson } from '../storage/json.ts';
import type { ObjectStore } from '../storage/object-store.ts';

/** The cluster is known as one that is being brought back, until `endRestore`. */
export const beginRestore = (store: ObjectStore, mark: RestoreMark): Promise<void> =>
  store.put(objectKeys.restoring(mark.cluster), `${JSON.stringify(restoreMark.parse(mark), null, 2)}\n`);

export const endRestore = (store: ObjectStore, cluster: string): Promise<void> => store.remove(objectKeys.restoring(cluster));

export async function readRestore(store: ObjectStore, cluster: string): Promise<RestoreMark | undefined> {
  const found = await store.get(objectKeys.restoring(cluster));
  return found === undefined ? undefined : restoreMark.parse(readJson(found));
}
