import type Docker from 'dockerode';
import { openWire, type Wire } from '../activities/redis/wire.ts';
import type { ClusterSpecInput } from '../config/cluster-spec.ts';
import { findEngineVersion } from '../config/engines.ts';
import { networkName, nodeName, systemUsers, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import type { StatusReport } from '../config/status.ts';
import { slotsOf } from '../model/migration/moves.ts';
import { parseRange, SLOTS } from '../model/slots.ts';
import { testSpec, uniqueName } from '../test/support/clusters.ts';
import { until } from '../test/support/processes.ts';
import type { Stack } from '../test/support/stack.ts';
import { poolOf } from './backup-data.ts';
import { fill } from './rebalance-data.ts';

export const VALUE_BYTES = 100;
const SHARDS = 3;
export const ENGINE = { engine: 'redis', version: '7.0' } as const;
/** Different ones in all: what the compressor sees at once has no value twice. */
const VALUES = 65_536;

export const run = <T>({ client }: Stack, type: string, input: object, workflowId = uniqueName('bench-')): Promise<T> =>
  client.workflow.execute(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId, args: [input] }) as Promise<T>;

export const deprovision = (stack: Stack, cluster: string) => run(stack, 'deprovision', { cluster, confirm: cluster, force: true });

/** As applications write them, cut out of longer ones. */
function someValues(): readonly string[] {
  const pool = poolOf('text', 8 * 1024 ** 2).toString('latin1');
  return Array.from({ length: VALUES }, () => {
    const at = Math.floor(Math.random() * (pool.length - VALUE_BYTES));
    return pool.slice(at, at + VALUE_BYTES);
  });
}

/** Nodes of a cluster, each with a connection as the operator. */
export interface Opened {
  readonly nodes: readonly { readonly name: string; readonly address: string; readonly wire: Wire }[];
  readonly password: string;
  /** The connection to the owner of each slot. */
  readonly owners: readonly Wire[];
  close(): void;
}

export async function openCluster(stack: Stack, cluster: string): Promise<Opened> {
  const { shards } = await run<StatusReport>(stack, 'status', { cluster });
  const password = (await stack.dependencies.secrets.require(cluster)).system.operator;
  const owners = new Array<Wire>(SLOTS);
  const nodes: Opened['nodes'][number][] = [];
  for (const { shard, slots, nodes: its } of shards) {
    const name = nodeName(cluster, shard, 0);
    const address = its.find((node) => node.name === name)?.address ?? '';
    const wire = await openWire({ address, kind: 'data', password });
    nodes.push({ name, address, wire });
    for (const slot of slotsOf(slots.map(parseRange))) owners[slot] = wire;
  }
  const close = () => {
    for (const { wire } of nodes) wire.close();
  };
  return { nodes, password, owners, close };
}

/** A cluster of three primaries with that many keys, and a backup of it; then it is gone. */
export async function makeSource(
  stack: Stack,
  cluster: string,
  keys: number,
): Promise<{ readonly backup: string; readonly rdbBytes: number }> {
  const memory = `${Math.max(512, Math.ceil((keys / SHARDS / 1024 ** 2) * 500))}Mi`;
  const spec: ClusterSpecInput = testSpec(cluster, {
    ...ENGINE,
    shards: SHARDS,
    replicasPerShard: 0,
    resources: { memory, cpus: 2 },
    security: { tls: false },
  });
  await run(stack, 'provision', { spec });
  const { owners, close } = await openCluster(stack, cluster);
  await fill(owners, keys, VALUE_BYTES, someValues());
  close();
  const { backup } = await run<{ backup?: { id: string; plainBytes: number } }>(stack, 'backup', {
    cluster,
    fromPrimary: true,
    verify: 'checksum',
  });
  await deprovision(stack, cluster);
  if (backup === undefined) throw new Error('there is no backup');
  return { backup: backup.id, rdbBytes: backup.plainBytes };
}

/** A server without a cluster, with some of the keys: what `redis-cli --cluster import` reads. */
export interface LoneServer {
  readonly address: string;
  remove(): Promise<void>;
}

export async function makeLoneServer(docker: Docker, cluster: string, number: number, keys: number): Promise<LoneServer> {
  const { image = '', server = '' } = findEngineVersion(ENGINE.engine, ENGINE.version) ?? {};
  const name = uniqueName('hfbench');
  const password = uniqueName();
  const login = ['--user', systemUsers.operator, 'on', `>${password}`, '~*', '&*', '+@all'];
  const container = await docker.createContainer({
    name,
    Image: image,
    Entrypoint: [server, '--save', '', '--protected-mode', 'no', ...login],
    Labels: { 'holdfast.bench': cluster },
    HostConfig: { NetworkMode: networkName(cluster), NanoCpus: 2e9 },
  });
  const remove = () => container.remove({ force: true, v: true });
  try {
    await container.start();
    const { NetworkSettings } = await container.inspect();
    const address = NetworkSettings.Networks[networkName(cluster)]?.IPAddress ?? '';
    const wire = await until('it answers', () => openWire({ address, kind: 'data', password }).catch(() => undefined));
    await fill(new Array<Wire>(SLOTS).fill(wire), keys, VALUE_BYTES, someValues(), number * keys);
    wire.close();
    return { address, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
