import { isDeepStrictEqual } from 'node:util';
import { ScheduleNotFoundError } from '@temporalio/client';
import { backupKeys, backupScheduleId, labels, objectKeys } from '../../config/names.ts';
import { type Holdings, holdings, sweep } from './clusters.ts';
import { until } from './processes.ts';
import type { Stack } from './stack.ts';

/** Everything in the world that belongs to a cluster. Its name is replaced by `*`, so that two runs can be compared. */
export interface Remains extends Holdings {
  /** Objects in the bucket. */
  readonly objects: readonly string[];
  /** Objects of backups, each as often as it is there under a name of its own; and uploads that nobody completes, those of archives too. */
  readonly backups: readonly string[];
  /** Schedules. */
  readonly schedules: readonly string[];
  /** Workflows that run. */
  readonly open: readonly string[];
}

export const nothing: Remains = { containers: [], volumes: [], networks: [], objects: [], backups: [], schedules: [], open: [] };

/** By label and by name: a thing that lost its label is a thing left over all the same. */
export async function remainsOf({ client, dependencies: { docker, store } }: Stack, cluster: string): Promise<Remains> {
  const filters = { name: [cluster] };
  const [labelled, containers, volumes, networks, objects, backups, ...uploads] = await Promise.all([
    holdings(docker, cluster),
    docker.listContainers({ all: true, filters }),
    docker.listVolumes({ filters }),
    docker.listNetworks({ filters }),
    store.list(objectKeys.clusterPrefix(cluster)),
    store.list(backupKeys.backups(cluster)),
    store.listUploads(backupKeys.backups(cluster)),
    store.listUploads(backupKeys.archives(cluster)),
  ]);
  const all = (names: readonly string[]) => [...new Set(names)].map((name) => name.replaceAll(cluster, '*')).sort();
  return {
    containers: all([...labelled.containers, ...containers.map((container) => container.Names[0]?.slice(1) ?? '')]),
    volumes: all([...labelled.volumes, ...volumes.Volumes.map((volume) => volume.Name)]),
    networks: all([...labelled.networks, ...networks.map((network) => network.Name)]),
    // Every spec that was ever accepted stays on record; taking one back accepts the former anew, so their number differs.
    objects: [...new Set(all(objects).map((key) => key.replace(/\/specs\/\d+\.json$/, '/specs/*.json')))],
    backups: [...backups, ...uploads.flat().map(({ key }) => `an upload of ${key}`)]
      .map((key) => anyBackup(key.replaceAll(cluster, '*')))
      .sort(),
    schedules: all(await schedulesOf(client, cluster)),
    open: all(await openWorkflows(client, cluster)),
  };
}

/** Without what is made anew in each run: the backup's id, and the unique part of an object. */
const anyBackup = (key: string) => key.replace(/\d{8}T\d{6}Z-[0-9a-f]{8}/g, '<id>').replace(/\.[0-9a-f]{8}\./, '.<unique>.');

async function schedulesOf(client: Stack['client'], cluster: string): Promise<readonly string[]> {
  const handle = client.schedule.getHandle(backupScheduleId(cluster));
  try {
    return [(await handle.describe()).scheduleId];
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return [];
    throw error;
  }
}

async function openWorkflows(client: Stack['client'], cluster: string): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const { workflowId } of client.workflow.list({ query: 'ExecutionStatus = "Running"' })) ids.push(workflowId);
  return ids.filter((id) => id.includes(cluster));
}

/**
 * Waits a moment, since Temporal's list of workflows lags behind.
 * @throws Error with what is there and what should be.
 */
export async function expectRemains(stack: Stack, cluster: string, expected: Remains): Promise<void> {
  let seen: Remains = nothing;
  const look = async () => {
    seen = await remainsOf(stack, cluster);
    return isDeepStrictEqual(seen, expected);
  };
  await until('what remains is what should', look, 5000).catch((cause: unknown) => {
    const differs = (Object.keys(expected) as (keyof Remains)[])
      .filter((kind) => !isDeepStrictEqual(seen[kind], expected[kind]))
      .map((kind) => `${kind} are [${seen[kind].join(', ')}] and should be [${expected[kind].join(', ')}]`);
    throw new Error(`left over, or missing: ${differs.join('; ')}`, { cause });
  });
}

/** Removes all that a run has left, also when it failed in the middle. Workers must be gone, or they would make it anew. */
export async function removeRemains(stack: Stack, cluster: string): Promise<void> {
  const { client, dependencies } = stack;
  for (const id of await openWorkflows(client, cluster))
    await client.workflow
      .getHandle(id)
      .terminate('the test is over')
      .catch(() => undefined); // it ended in between
  for (const id of await schedulesOf(client, cluster))
    await client.schedule
      .getHandle(id)
      .delete()
      .catch(() => undefined); // a run that ran out of time removes it as well
  await sweep(dependencies.docker, cluster);
  const { docker, store } = dependencies;
  for (const prefix of [
    objectKeys.clusterPrefix(cluster),
    backupKeys.backups(cluster),
    backupKeys.archives(cluster),
    backupKeys.keyCopies(cluster),
  ])
    for (const key of await store.list(prefix)) await store.remove(key);
  for (const prefix of [backupKeys.backups(cluster), backupKeys.archives(cluster)])
    for (const upload of await store.listUploads(prefix)) await store.abortUpload(upload);
  const filters = { label: [labels.scratch], name: [cluster] };
  for (const { Id } of await docker.listContainers({ all: true, filters })) await docker.getContainer(Id).remove({ force: true });
  for (const { Name } of (await docker.listVolumes({ filters })).Volumes) await docker.getVolume(Name).remove();
}
