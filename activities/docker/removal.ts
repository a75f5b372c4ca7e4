import type Docker from 'dockerode';
import { labels, volumeName } from '../../config/names.ts';
import { until } from '../support/until.ts';
import { inspectContainer } from './containers.ts';
import { engineCall, engineFailure, statusOf } from './engine.ts';

const owns = (found: Readonly<Record<string, string>> | null | undefined, cluster: string, clusterId: string | undefined): boolean =>
  found?.[labels.cluster] === cluster && (clusterId === undefined || found[labels.clusterId] === clusterId);

/** How a node goes. */
export interface Removal {
  /** Only what is this cluster's and no namesake's of another installation; left out by a forced deprovision. */
  readonly clusterId?: string;
  /** The server is asked to end, and writes down what it has; else it is killed. */
  readonly orderly: boolean;
  readonly withVolume: boolean;
}

/** The node's container is gone, and its volume too when asked. Only what carries the cluster's label is touched; what is gone already is no error. */
export async function removeNode(
  docker: Docker,
  cluster: string,
  node: string,
  { clusterId, orderly, withVolume }: Removal,
): Promise<void> {
  const container = await inspectContainer(docker, node);
  if (container !== undefined && owns(container.Config.Labels, cluster, clusterId)) {
    if (orderly && container.State.Running)
      await engineCall(
        `stop ${node}`,
        () => docker.getContainer(node).stop().catch(alreadyStopped),
        () => undefined,
      );
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
  if (withVolume) await removeVolume(docker, cluster, volumeName(node), clusterId);
}

const alreadyStopped = (error: unknown): void => {
  if (statusOf(error) !== 304) throw error;
};

const alreadyGoing = (error: unknown): void => {
  if (statusOf(error) !== 409) throw error; // "removal is already in progress"
};

/** The volume is gone, if it carries the cluster's label. */
export async function removeVolume(docker: Docker, cluster: string, volume: string, clusterId?: string): Promise<void> {
  const found = await engineCall(
    `look at volume ${volume}`,
    () => docker.getVolume(volume).inspect(),
    () => undefined,
  );
  if (found === undefined || !owns(found.Labels, cluster, clusterId)) return;
  await engineCall(
    `remove volume ${volume}`,
    () => docker.getVolume(volume).remove(),
    () => undefined,
  );
}
