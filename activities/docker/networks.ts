import { readFile } from 'node:fs/promises';
import type Docker from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { labels, networkName } from '../../config/names.ts';
import type { Settings } from '../../config/settings.ts';
import { guestRange, prefixFor } from '../../model/layout.ts';
import { addressAt, freeSubnets, subnetsOverlap } from '../../model/subnets.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { engineCall, engineFailure, ownContainer, statusOf } from './engine.ts';

/** A cluster's network as it is now. */
export interface ClusterNetwork {
  readonly name: string;
  readonly subnet: string;
}

/** How many subnets of the pool are tried when others take them at the same moment. */
const TRIES = 20;

/**
 * Makes the cluster's network, or finds it. A subnet asked for is taken as it is; else the first of the pool that overlaps with no network of
 * the engine and no route of the host. Two creations may race for it: the engine refuses the second, which takes the next.
 * @throws SubnetTaken, NameTaken
 */
export async function ensureNetwork(docker: Docker, settings: Settings, spec: ClusterSpec, clusterId: string): Promise<ClusterNetwork> {
  const name = networkName(spec.name);
  const existing = await findNetwork(docker, name);
  if (existing !== undefined) {
    if (existing.clusterId !== clusterId)
      throw fatal(failures.nameTaken, `network ${name} exists and is not this cluster's: remove it, or choose another cluster name`);
    await reach(docker, name);
    return existing;
  }
  const taken = [...(await engineSubnets(docker)), ...(await hostRoutes())];
  const wanted = spec.network.subnet;
  const blocked = wanted === undefined ? undefined : taken.find((other) => subnetsOverlap(other, wanted));
  if (blocked !== undefined)
    throw fatal(
      failures.subnetTaken,
      `subnet ${wanted} overlaps with ${blocked}, which is in use: set another network.subnet, or leave it out`,
    );
  const prefix = Math.min(settings.HOLDFAST_SUBNET_PREFIX, prefixFor(spec));
  const candidates = wanted === undefined ? freeSubnets(settings.HOLDFAST_SUBNET_POOL, prefix, taken) : [wanted];
  let tries = 0;
  for (const subnet of candidates) {
    if (await create(docker, name, subnet, spec, clusterId)) {
      // Another attempt of this step may have made it, in another subnet: what is there counts, not what was asked for.
      const made = await findNetwork(docker, name);
      if (made?.clusterId !== clusterId)
        throw fatal(failures.nameTaken, `network ${name} exists and is not this cluster's: remove it, or choose another cluster name`);
      await reach(docker, name);
      return { name, subnet: made.subnet };
    }
    if (++tries >= TRIES) break;
  }
  throw fatal(
    failures.subnetTaken,
    `no subnet of ${wanted ?? `the pool ${settings.HOLDFAST_SUBNET_POOL}`} is free: remove unused networks (docker network ls), or set HOLDFAST_SUBNET_POOL`,
  );
}

/** @returns false when somebody else took the subnet first. */
async function create(docker: Docker, name: string, subnet: string, spec: ClusterSpec, clusterId: string): Promise<boolean> {
  try {
    await docker.createNetwork({
      Name: name,
      CheckDuplicate: true,
      Driver: 'bridge',
      // What joins without an address of its own is given one from the end, never a node's.
      IPAM: { Driver: 'default', Config: [{ Subnet: subnet, Gateway: addressAt(subnet, 1), IPRange: guestRange(subnet) }] },
      Labels: { [labels.cluster]: spec.name, [labels.clusterId]: clusterId },
    });
    return true;
  } catch (error) {
    if (/pool overlaps|overlaps with|conflicts with network/i.test(messageOf(error))) return false;
    if (statusOf(error) === 409) return true; // an earlier attempt of this same step made it
    throw engineFailure(error, `make network ${name}`);
  }
}

/** The network with its subnet and the cluster id of its labels (empty when it is not Holdfast's). */
export async function findNetwork(
  docker: Docker,
  name: string,
): Promise<(ClusterNetwork & { readonly clusterId: string; readonly cluster: string }) | undefined> {
  const [found] = await engineCall('list networks', () => docker.listNetworks({ filters: { name: [`^${name}$`] } }));
  if (found === undefined) return undefined;
  return {
    name,
    subnet: found.IPAM?.Config?.[0]?.Subnet ?? '',
    clusterId: found.Labels?.[labels.clusterId] ?? '',
    cluster: found.Labels?.[labels.cluster] ?? '',
  };
}

async function engineSubnets(docker: Docker): Promise<readonly string[]> {
  const networks = await engineCall('list networks', () => docker.listNetworks());
  return networks
    .flatMap((network) => network.IPAM?.Config?.map((config) => config.Subnet ?? '') ?? [])
    .filter((subnet) => /^\d+\.\d+\.\d+\.\d+\/\d+$/.test(subnet));
}

/** Routes of the machine that the worker runs on, without the default route. Linux only; elsewhere there are none to check. */
async function hostRoutes(): Promise<readonly string[]> {
  const table = await readFile('/proc/net/route', 'utf8').catch(() => ''); // not Linux
  const address = (hex: string) => [6, 4, 2, 0].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.');
  const bits = (hex: string) => [...Number.parseInt(hex, 16).toString(2)].filter((bit) => bit === '1').length;
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination !== undefined && mask !== undefined && mask !== '00000000')
    .map(([, destination = '', , , , , , mask = '']) => `${address(destination)}/${bits(mask)}`);
}

/** A worker that lives in a container itself joins the cluster's network, so that it can speak to the nodes. */
export async function reach(docker: Docker, network: string): Promise<void> {
  const self = await ownContainer(docker);
  if (self === undefined) return;
  await docker
    .getNetwork(network)
    .connect({ Container: self })
    .catch((error: unknown) => {
      if (![403, 404, 409].includes(statusOf(error) ?? 0)) throw engineFailure(error, `join network ${network}`); // it is in it already, or there is none
    });
}

/**
 * Removes the cluster's network; one that is gone, or is another cluster's, is left alone. Who is still in it (workers in containers, an
 * application) leaves it first: the cluster is gone.
 */
export async function removeNetwork(docker: Docker, cluster: string, clusterId: string | undefined): Promise<void> {
  const name = networkName(cluster);
  const found = await findNetwork(docker, name);
  if (found === undefined || found.cluster !== cluster || (clusterId !== undefined && found.clusterId !== clusterId)) return;
  const network = docker.getNetwork(name);
  const details = await engineCall(
    `look at network ${name}`,
    () => network.inspect(),
    () => undefined,
  );
  for (const Container of Object.keys(details?.Containers ?? {}))
    await network.disconnect({ Container, Force: true }).catch(ignoreStatus(403, 404, 500));
  await engineCall(
    `remove network ${name}`,
    () => network.remove(),
    () => undefined,
  );
}

/** Swallows answers that say that it is so already. */
const ignoreStatus =
  (...statuses: readonly number[]) =>
  (error: unknown): void => {
    if (!statuses.includes(statusOf(error) ?? 0)) throw error;
  };
