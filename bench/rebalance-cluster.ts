import { parseClusterNodes } from '../activities/redis/parse.ts';
import { openWire, type Wire } from '../activities/redis/wire.ts';
import type { ClusterSpecInput } from '../config/cluster-spec.ts';
import type { Engine } from '../config/engines.ts';
import { nodeName, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import type { OperationResult } from '../config/progress.ts';
import type { StatusReport } from '../config/status.ts';
import { formatRanges, slotsOf, toRanges } from '../model/migration/moves.ts';
import { SLOTS } from '../model/slots.ts';
import { testSpec, uniqueName } from '../test/support/clusters.ts';
import { until } from '../test/support/processes.ts';
import type { Stack } from '../test/support/stack.ts';
import type { ClientProbeOrder } from './client-probe.ts';
import { fill } from './rebalance-data.ts';

const SHARDS = 4;
/** The shard that is empty before each contender. */
export const EMPTY = 3;

/** One set of the bench: what the cluster is and what lies in it. */
export interface DataSet {
  readonly id: string;
  readonly engine: Engine;
  readonly version: string;
  readonly tls: boolean;
  readonly keys: number;
  readonly valueBytes: number;
}

export interface BenchNode {
  /** Also of its container. */
  readonly name: string;
  readonly address: string;
  readonly nodeId: string;
  /** Of its server, as the host sees it. */
  readonly pid: number;
  readonly wire: Wire;
}

/** A cluster of four primaries of which the last is empty, with connections to all. */
export interface BenchCluster {
  readonly name: string;
  readonly set: DataSet;
  readonly nodes: readonly BenchNode[];
  readonly operatorPassword: string;
  /** For a client: who it is and what is there. */
  readonly probeOrder: ClientProbeOrder;
  /** Runs an operation on it. */
  run<T = OperationResult>(operation: string, input: object, workflowId?: string): Promise<T>;
  /** The shard of each slot; waits until all nodes say the same. */
  owners(): Promise<readonly number[]>;
  /** Makes the state that every contender starts from: the last shard empty, every slot and key where it was. @returns keys of each slot */
  restore(): Promise<Uint32Array>;
  /** @throws when the nodes hold another number of keys than were written */
  checkKeys(when: string): Promise<void>;
  /** Deprovisions it. */
  remove(): Promise<void>;
}

const specOf = (set: DataSet, name: string): ClusterSpecInput =>
  testSpec(name, {
    engine: set.engine,
    version: set.version,
    shards: SHARDS,
    replicasPerShard: 0,
    resources: { memory: '2Gi', cpus: 2 },
    persistence: { aof: false },
    security: { tls: set.tls, users: [{ name: 'app' }] },
  });

/** Provisions it and empties its last shard, by Holdfast. Whoever asked removes what is there of it when that fails. */
export async function makeCluster(stack: Stack, set: DataSet, name: string): Promise<BenchCluster> {
  const input = { cluster: name };
  const run: BenchCluster['run'] = <T>(operation: string, asked: object, workflowId = `bench/${name}/${uniqueName(operation)}`) =>
    stack.client.workflow.execute(operation, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId, args: [asked] }) as Promise<T>;
  await run('provision', { spec: specOf(set, name) });
  const { ca, system } = await stack.dependencies.secrets.require(name);
  const { users } = await stack.dependencies.secrets.readCredentials(name);
  const { shards } = await run<StatusReport>('status', input);
  const addresses = new Map(shards.flatMap(({ nodes }) => nodes.map((node) => [node.name, node.address])));
  const secure = set.tls ? { caCert: ca.cert } : {};
  const nodes: BenchNode[] = [];
  for (let shard = 0; shard < SHARDS; shard++) {
    const node = nodeName(name, shard, 0);
    const address = addresses.get(node) ?? '';
    const wire = await openWire({ address, kind: 'data', password: system.operator, ...secure });
    const { State } = await stack.dependencies.docker.getContainer(node).inspect();
    nodes.push({ name: node, address, nodeId: String(await wire.one('CLUSTER', 'MYID')), pid: State.Pid, wire });
  }
  await run('rebalance', { ...input, weights: { [EMPTY]: 0 } }); // nothing is in it yet
  const home = await ownersOf(nodes);
  const password = users.find((user) => user.name === 'app')?.password ?? '';
  const hosts = nodes.map(({ address }) => address);
  const checkKeys = (when: string) => requireKeys(nodes, set.keys, when);
  return {
    name,
    set,
    nodes,
    operatorPassword: system.operator,
    probeOrder: { hosts, username: 'app', password, ...secure, keys: set.keys, valueBytes: set.valueBytes },
    run,
    owners: () => ownersOf(nodes),
    async restore() {
      for (const { wire } of nodes) await wire.one('FLUSHALL', 'SYNC');
      const moves = movesBetween(await ownersOf(nodes), home);
      if (moves.length > 0) await run('rebalance', { ...input, moves, strategy: 'pipelined' });
      const owners = await ownersOf(nodes);
      if (movesBetween(owners, home).length > 0) throw new Error(`slots of ${name} did not go back`);
      const wires = owners.flatMap((shard) => nodes[shard]?.wire ?? []);
      const counts = await fill(wires, set.keys, set.valueBytes);
      await checkKeys('after it was filled');
      return counts;
    },
    checkKeys,
    async remove() {
      for (const { wire } of nodes) wire.close();
      await run('deprovision', { ...input, confirm: name, force: true });
    },
  };
}

/** Until every node names the same owner for every slot: gossip takes a moment. */
function ownersOf(nodes: readonly BenchNode[]): Promise<readonly number[]> {
  return until('all nodes agree on who owns which slot', async () => {
    const views = await Promise.all(
      nodes.map(async ({ wire }) => {
        const owners = new Array<number>(SLOTS).fill(-1);
        for (const { nodeId, slots } of parseClusterNodes(String(await wire.one('CLUSTER', 'NODES')))) {
          const shard = nodes.findIndex((node) => node.nodeId === nodeId);
          for (const slot of slotsOf(slots)) owners[slot] = shard;
        }
        return owners;
      }),
    );
    const [view] = views;
    return view !== undefined && !view.includes(-1) && views.every((other) => other.every((shard, slot) => shard === view[slot])) && view;
  });
}

/** Moves as the operation rebalance takes them. */
function movesBetween(now: readonly number[], then: readonly number[]) {
  const pairs = new Map<string, { readonly from: number; readonly to: number; readonly slots: number[] }>();
  for (const [slot, from] of now.entries()) {
    const to = then[slot] ?? from;
    if (from === to) continue;
    const pair = pairs.get(`${from} ${to}`) ?? { from, to, slots: [] };
    pair.slots.push(slot);
    pairs.set(`${from} ${to}`, pair);
  }
  return [...pairs.values()].map(({ from, to, slots }) => ({ from, to, slots: formatRanges(toRanges(slots)) }));
}

async function requireKeys(nodes: readonly BenchNode[], keys: number, when: string): Promise<void> {
  const sizes = await Promise.all(nodes.map(async ({ wire }) => Number(await wire.one('DBSIZE'))));
  const sum = sizes.reduce((total, size) => total + size, 0);
  if (sum !== keys) throw new Error(`${when} the nodes hold ${sum} keys (${sizes.join(' + ')}) instead of ${keys}`);
}
