import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { objectKeys } from '../../config/names.ts';
import type { ObjectStore } from './object-store.ts';

/** The bucket's copy of the spec that was accepted last: with it, a lost Temporal database loses no cluster. */
export interface ClusterRecord {
  readonly spec: ClusterSpec;
  readonly generation: number;
  readonly acceptedAt: string;
}

export async function readRecord(store: ObjectStore, cluster: string): Promise<ClusterRecord | undefined> {
  const found = await store.get(objectKeys.spec(cluster));
  return found === undefined ? undefined : (JSON.parse(Buffer.from(found).toString()) as ClusterRecord);
}

export const writeRecord = (store: ObjectStore, record: ClusterRecord): Promise<void> =>
  store.put(objectKeys.spec(record.spec.name), JSON.stringify(record, null, 2));

export const removeRecord = (store: ObjectStore, cluster: string): Promise<void> => store.remove(objectKeys.spec(cluster));

/** Clusters that the bucket has a record of. */
export async function listRecords(store: ObjectStore): Promise<readonly ClusterRecord[]> {
  const keys = await store.list(objectKeys.clusters);
  const names = keys.map((key) => /^clusters\/([^/]+)\/spec\.json$/.exec(key)?.[1]).filter((name) => name !== undefined);
  const records = await Promise.all(names.map((name) => readRecord(store, name)));
  return records.filter((record) => record !== undefined);
}
