import { randomBytes } from 'node:crypto';
import type Docker from 'dockerode';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { labels, networkName } from '../../config/names.ts';

/** A name that no other test uses. */
export const uniqueName = (prefix = 't'): string => `${prefix}${randomBytes(4).toString('hex')}`;

/** Names for the clusters of a test, kept so that all of them can be removed. */
export function clusterNames(): { readonly names: string[]; readonly named: () => string } {
  const names: string[] = [];
  const named = () => {
    const name = uniqueName();
    names.push(name);
    return name;
  };
  return { names, named };
}

/** The smallest spec that is a cluster, with small nodes. */
export const testSpec = (name: string, changes: Partial<ClusterSpecInput> = {}): ClusterSpecInput => ({
  name,
  engine: 'valkey',
  version: '9.1',
  deletionProtection: false,
  resources: { memory: '128Mi' },
  security: { users: [{ name: 'app' }] },
  ...changes,
});

/** Everything that an engine holds of a cluster, by name. */
export interface Holdings {
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
}

/** Looks at the engine itself, not through Holdfast's own inventory. */
export async function holdings(docker: Docker, cluster: string): Promise<Holdings> {
  const filters = { label: [`${labels.cluster}=${cluster}`] };
  const [containers, volumes, networks] = await Promise.all([
    docker.listContainers({ all: true, filters }),
    docker.listVolumes({ filters }),
    docker.listNetworks({ filters }),
  ]);
  return {
    containers: containers.map((container) => container.Names[0]?.slice(1) ?? '').sort(),
    volumes: volumes.Volumes.map((volume) => volume.Name).sort(),
    networks: networks.map((network) => network.Name).sort(),
  };
}

/** Removes what a failed test left, so that the next one starts clean. Only what carries the cluster's label. */
export async function sweep(docker: Docker, cluster: string): Promise<void> {
  const { containers, volumes, networks } = await holdings(docker, cluster);
  await Promise.all(containers.map((name) => docker.getContainer(name).remove({ force: true, v: false })));
  await Promise.all(volumes.map((name) => docker.getVolume(name).remove()));
  if (networks.includes(networkName(cluster))) await docker.getNetwork(networkName(cluster)).remove();
}
