import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { isOwnUser, networkName, sentinelMasterName } from '../../config/names.ts';
import { answered, type ClusterView, isSettling, type Observation } from '../../model/observation.ts';
import { type Inventory, takeInventory } from '../docker/inventory.ts';
import { reach } from '../docker/networks.ts';
import { readUnfinished } from '../docker/node-data.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import type { NodeAddress } from './connection.ts';
import { type NodeAnswer, observeNode, observeSentinel } from './observe-node.ts';

/** What to look at. */
export interface ObserveRequest {
  readonly cluster: string;
  /** Whether the nodes speak TLS; left out when nobody knows the spec: then only the engine is asked. */
  readonly tls?: boolean;
  /** Server parameters whose values are wanted. */
  readonly parameters: readonly string[];
  /** So long it looks again while nodes that are all there do not agree yet: nobody shall be sent away for a link that is down for a moment. @default 0 */
  readonly settlesWithinMs?: number;
}

export interface ObserveDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
  readonly hostName: string;
}

const LOOK_EVERY_MS = 250;

/** Asks the engine and every node, all at once. Nothing is cached; a node that does not answer is part of the answer. */
export async function observe(deps: ObserveDeps, request: ObserveRequest): Promise<Observation> {
  const end = Date.now() + (request.settlesWithinMs ?? 0);
  for (;;) {
    const seen = await look(deps, request);
    if (Date.now() >= end || !isSettling(seen)) return seen;
    await sleep(LOOK_EVERY_MS);
  }
}

async function look({ docker, secrets, hostName }: ObserveDeps, request: ObserveRequest): Promise<Observation> {
  const { cluster, tls } = request;
  const inventory = await takeInventory(docker, hostName, cluster);
  const held = tls === undefined ? undefined : await secrets.read(cluster);
  const running = held === undefined ? [] : inventory.containers.filter((container) => container.state === 'running');
  if (inventory.network !== undefined && running.length > 0) await reach(docker, networkName(cluster));
  const target = (kind: NodeAddress['kind'], address: string): NodeAddress => ({
    address,
    kind,
    password: held?.system.operator ?? '',
    ...(tls === true && held !== undefined ? { caCert: held.ca.cert } : {}),
  });
  const parameters = request.parameters.length > 0 ? request.parameters : ['maxmemory'];
  const [nodes, sentinels] = await Promise.all([
    Promise.all(running.filter((c) => c.kind === 'data').map((c) => observeNode(c.name, target('data', c.address), parameters))),
    Promise.all(
      running
        .filter((c) => c.kind === 'sentinel')
        .map((c) => observeSentinel(c.name, target('sentinel', c.address), sentinelMasterName(cluster))),
    ),
  ]);
  const unfinished = tls === undefined ? undefined : await readUnfinished(docker, suspects(inventory, nodes));
  return {
    cluster,
    observedAt: new Date().toISOString(),
    ...inventory,
    nodes: nodes.map((answer) => answer.node),
    sentinels,
    views: distinctViews(nodes),
    ...(unfinished === undefined ? {} : { unfinished }),
  };
}

/** Data nodes on which a restore in place may have left something: it stops them, and lets no application in before its end. */
function suspects({ containers }: Inventory, nodes: readonly NodeAnswer[]): readonly string[] {
  const used = nodes.flatMap(({ node }) =>
    node.answers && !node.loading && Object.keys(node.users).some((user) => !isOwnUser(user)) ? [node.name] : [],
  );
  return containers.filter(({ kind, name }) => kind === 'data' && !used.includes(name)).map(({ name }) => name);
}

/** A cluster that has fallen apart into more views than this is told well enough by these, and the answer stays small. */
const MOST_VIEWS = 4;

/** Views that agree are carried once, with the names of those that share them; the most shared one first. */
function distinctViews(answers: readonly NodeAnswer[]): readonly ClusterView[] {
  const views = new Map<string, ClusterView>();
  for (const { node, members } of answers) {
    if (!answered(node) || node.viewDigest === '') continue;
    const before = views.get(node.viewDigest);
    views.set(node.viewDigest, {
      digest: node.viewDigest,
      members: before?.members ?? members,
      seenBy: [...(before?.seenBy ?? []), node.name],
    });
  }
  return [...views.values()].sort((a, b) => b.seenBy.length - a.seenBy.length).slice(0, MOST_VIEWS);
}
