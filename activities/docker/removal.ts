import type Docker from 'dockerode';
import { labels, volumeName } from '../../config/names.ts';
import { until } from '../support/until.ts';
import { inspectContainer } from './containers.ts';
import { engineCall, engineFailure, statusOf } from './engine.ts';

const owns = (found: Readonly<Record<string, string>> | null | undefined, cluster: string, clusterId: string | undefined): boolean =>
  found?.[labels.cluster] === cluster && (clusterId === undefined || found[labels.clusterId] === clusterId);

/** Clocks of the engine and the worker differ a little. */
const CLOCK_SLACK_MS = 2000;

/**
 * An engine that dies while it makes a volume leaves it without its labels (seen on 20.10). It is ours when the plan saw none of that name, and it
 * came into being afterwards, with no label of anybody. The engine itself refuses to remove one that a container uses.
 */
export const isTorn = (
  volume: { readonly Labels?: Readonly<Record<string, string>> | null; readonly CreatedAt?: string },
  newSince: string | undefined,
): boolean =>
  newSince !== undefined &&
  Object.keys(volume.Labels ?? {}).length === 0 &&
  Date.parse(volume.CreatedAt ?? '') >= Date.parse(newSince) - CLOCK_SLACK_MS;

/** How a node goes. */
export interface Removal {
  /** Only what is this cluster's and no namesake's of another installation; left out by a forced deprovision. */
  readonly clusterId?: string;
  /** The server is asked to end, and writes down what it has; else it is killed. */
  readonly orderly: boolean;
  readonly withVolume: boolean;
  /** As in a request to make a node. */
  readonly newSince?: string;
}

/** The node's container is gone, and its volume too when asked. Only what carries the cluster's label is touched; what is gone already is no error. */
export async function removeNode(
  docker: Docker,
  cluster: string,
  node: string,
  { clusterId, orderly, withVolume, newSince }: Removal,
): Promise<void> {
  const container = await inspectContainer(docker, node);
  if (container !== undefined && owns(container.Config.Labels, cluster, clusterId)) {
    if (orderly && container.State.Running) await stopContainer(docker, node);
    await engineCall(
      `remove ${node}`,
      () => docker.getContainer(node).remove({ force: true }).catch(alreadyGoing),
      () => undefined,
    );
    await until(async () => ((await inspectContainer(docker, node)) === undefined ? true : undefined), {
      timeoutMs: 30_000,
      late: () => engineFailure(new Error('it is still there after 30 s'), `remove ${node}`),
    });
  }
  if (withVolume) await removeVolume(docker, cluster, volumeName(node), clusterId, newSince);
}

/** The server is asked to end, and has ended. The engine does not start it again by itself; what is gone already is no error. */
export async function stopContainer(docker: Docker, node: string): Promise<void> {
  await engineCall(
    `stop ${node}`,
    () => docker.getContainer(node).stop().catch(alreadyStopped),
    () => undefined,
  );
}

const alreadyStopped = (error: unknown): void => {
  if (statusOf(error) !== 304) throw error;
};

const alreadyGoing = (error: unknown): void => {
  if (statusOf(error) !== 409) throw error; // "removal is already in progress"
};

/** The volume is gone, if it carries the cluster's label. */
export async function removeVolume(docker: Docker, cluster: string, volume: string, clusterId?: string, newSince?: string): Promise<void> {
  const found = await engineCall(
    `look at volume ${volume}`,
    () => docker.getVolume(volume).inspect(),
    () => undefined,
  );
  if (found === undefined || !(owns(found.Labels, cluster, clusterId) || isTorn(found, newSince))) return;
  await engineCall(
    `remove volume ${volume}`,
    () => docker.getVolume(volume).remove(),
    () => undefined,
  );
}
