import { type ClusterSpec, clusterSpec } from '../../config/cluster-spec.ts';
import { objectKeys } from '../../config/names.ts';
import type { ObjectStore } from './object-store.ts';

/** The bucket's copy of the spec that was accepted last: with it, a lost Temporal database loses no cluster. */
export interface ClusterRecord {
  readonly spec: ClusterSpec;
  readonly generation: number;
  readonly acceptedAt: string;
}

/** A spec that an earlier version wrote, with the defaults of this one; else a new field would look like a change. */
export function asOfNow(spec: ClusterSpec): ClusterSpec {
  const parsed = clusterSpec.safeParse(spec);
  return parsed.success ? parsed.data : spec;
}

export async function readRecord(store: ObjectStore, cluster: string): Promise<ClusterRecord | undefined> {
  const found = await store.get(objectKeys.spec(cluster));
  if (found === undefined) return undefined;
  const record = JSON.parse(Buffer.from(found).toString()) as ClusterRecord;
  return { ...record, spec: asOfNow(record.spec) };
}

/** The spec that holds now, and beside it every one that ever did. */
export async function writeRecord(store: ObjectStore, record: ClusterRecord): Promise<void> {
  const text = JSON.stringify(record, null, 2);
  await store.put(objectKeys.acceptedSpec(record.spec.name, record.generation), text);
  await store.put(objectKeys.spec(record.spec.name), text);
}

export async function removeRecord(store: ObjectStore, cluster: string): Promise<void> {
  await store.remove(objectKeys.spec(cluster));
  await Promise.all((await store.list(objectKeys.acceptedSpecs(cluster))).map((key) => store.remove(key)));
}

/** Clusters that the bucket has a record of. */
export async function listRecords(store: ObjectStore): Promise<readonly ClusterRecord[]> {
  const keys = await store.list(objectKeys.clusters);
  const names = keys.map((key) => /^clusters\/([^/]+)\/spec\.json$/.exec(key)?.[1]).filter((name) => name !== undefined);
  const records = await Promise.all(names.map((name) => readRecord(store, name)));
  return records.filter((record) => record !== undefined);
}
