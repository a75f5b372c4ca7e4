import type Docker from 'dockerode';
import type { ContainerInfo } from 'dockerode';
import { labels, networkName, volumeName } from '../../config/names.ts';
import type { ObservedContainer, ObservedHost, ObservedNetwork, ObservedVolume } from '../../model/observation.ts';
import { engineCall } from './engine.ts';
import { findNetwork } from './networks.ts';

/** What an engine holds of one cluster. */
export interface Inventory {
  readonly host: ObservedHost;
  readonly network?: ObservedNetwork;
  readonly containers: readonly ObservedContainer[];
  readonly volumes: readonly ObservedVolume[];
  readonly foreign: readonly string[];
}

/** Asks the engine. What bears a name of this cluster but not its label is listed as foreign. */
export async function takeInventory(docker: Docker, hostName: string, cluster: string): Promise<Inventory> {
  const network = networkName(cluster);
  const [info, all, volumes, found] = await engineCall('look at the host', () =>
    Promise.all([
      docker.info() as Promise<{ MemTotal: number; NCPU: number }>,
      docker.listContainers({ all: true }),
      docker.listVolumes(),
      findNetwork(docker, network),
    ]),
  );
  const ours = all.filter((container) => container.Labels[labels.cluster] === cluster);
  const details = await Promise.all(ours.map((container) => inspect(docker, container, network)));
  const containers = details.filter((container) => container !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1));
  const ourVolumes = volumes.Volumes.filter((volume) => volume.Labels?.[labels.cluster] === cluster);
  const named = new RegExp(`^${cluster}-(\\d+-\\d+|sentinel-\\d+)$`);
  const namedVolume = new RegExp(`^${cluster}-(\\d+-\\d+|sentinel-\\d+)${volumeName('')}$`);
  const foreign = [
    ...all
      .filter((c) => c.Labels[labels.cluster] !== cluster && c.Names.some((name) => named.test(name.slice(1))))
      .map((c) => `container ${c.Names[0]?.slice(1)}`),
    ...volumes.Volumes.filter((v) => v.Labels?.[labels.cluster] !== cluster && namedVolume.test(v.Name)).map((v) => `volume ${v.Name}`),
    ...(found !== undefined && found.cluster !== cluster ? [`network ${network}`] : []),
  ];
  return {
    host: { name: hostName, memoryBytes: info.MemTotal, cpus: info.NCPU, promisedBytes: await promised(docker, all) },
    ...(found !== undefined && found.cluster === cluster
      ? { network: { name: found.name, subnet: found.subnet, clusterId: found.clusterId } }
      : {}),
    containers,
    volumes: ourVolumes.map((v) => ({ name: v.Name, node: v.Labels?.[labels.node] ?? '', clusterId: v.Labels?.[labels.clusterId] ?? '' })),
    foreign,
  };
}

async function inspect(docker: Docker, { Id, Labels }: ContainerInfo, network: string): Promise<ObservedContainer | undefined> {
  const found = await engineCall(
    'look at a container',
    () => docker.getContainer(Id).inspect(),
    () => undefined,
  );
  if (found === undefined) return undefined;
  const { State, HostConfig, NetworkSettings } = found;
  const endpoint = NetworkSettings.Networks[network];
  const state = State.Restarting
    ? 'restarting'
    : State.Running
      ? 'running'
      : State.Status === 'created' || State.Status === 'exited'
        ? State.Status
        : 'other';
  return {
    name: Labels[labels.node] ?? found.Name.slice(1),
    kind: Labels[labels.kind] === 'sentinel' ? 'sentinel' : 'data',
    shard: Number(Labels[labels.shard] ?? -1),
    clusterId: Labels[labels.clusterId] ?? '',
    generation: Number(Labels[labels.generation] ?? 0),
    specHash: Labels[labels.specHash] ?? '',
    state,
    image: found.Config.Image,
    address: endpoint?.IPAMConfig?.IPv4Address ?? endpoint?.IPAddress ?? '',
    memoryBytes: HostConfig.Memory ?? 0,
    nanoCpus: HostConfig.NanoCpus ?? 0,
    restarts: found.RestartCount,
  };
}

/** Memory that Holdfast promised to nodes on this host. Limits are not in the list, so each container is asked. */
async function promised(docker: Docker, all: readonly ContainerInfo[]): Promise<number> {
  const holdfast = all.filter((container) => container.Labels[labels.cluster] !== undefined);
  const limits = await Promise.all(
    holdfast.map((container) =>
      engineCall(
        'look at a container',
        async () => (await docker.getContainer(container.Id).inspect()).HostConfig.Memory ?? 0,
        () => 0,
      ),
    ),
  );
  return limits.reduce((sum, limit) => sum + limit, 0);
}

/** All clusters that the engine holds anything of, with how many of their containers run. */
export async function listClusters(
  docker: Docker,
): Promise<readonly { readonly cluster: string; readonly running: number; readonly containers: number }[]> {
  const [containers, volumes] = await engineCall('list clusters', () =>
    Promise.all([
      docker.listContainers({ all: true, filters: { label: [labels.cluster] } }),
      docker.listVolumes({ filters: { label: [labels.cluster] } }),
    ]),
  );
  const counts = new Map<string, { running: number; containers: number }>();
  const of = (cluster: string) => counts.get(cluster) ?? { running: 0, containers: 0 };
  for (const { Labels, State } of containers) {
    const cluster = Labels[labels.cluster] ?? '';
    const before = of(cluster);
    counts.set(cluster, { containers: before.containers + 1, running: before.running + (State === 'running' ? 1 : 0) });
  }
  for (const { Labels } of volumes.Volumes) counts.set(Labels?.[labels.cluster] ?? '', of(Labels?.[labels.cluster] ?? ''));
  return [...counts].map(([cluster, count]) => ({ cluster, ...count }));
}
