import type Docker from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { type NodePlace, nodeIdOf, placesOf } from '../../model/layout.ts';
import type { Unfinished } from '../../model/observation.ts';
import { barredConf, renderAcl, withData, withoutReplicaOf, withReplicaOf, withWrites } from '../../model/server-conf.ts';
import { type InitialSlots, initialMembers, renderNodesConf } from '../../model/topology.ts';
import { inspectContainer, runInContainer } from '../docker/containers.ts';
import { readUnfinished } from '../docker/node-data.ts';
import { type NodeFile, putIntoNode, readFromNode } from '../docker/node-files.ts';
import { refuseForeign } from '../docker/nodes.ts';
import { stopContainer } from '../docker/removal.ts';
import { withNode } from '../redis/connection.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import { fatal, passing } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { aofFolder } from './lay-out-beside.ts';
import { type PlacedNode, reachNode } from './reach-node.ts';

/**
 * How the data of a running cluster is replaced: every node is stopped and barred, then each gets its new settings, then they start. A barred node's server does not start, whoever starts it; so there is no moment
 * at which one shard can serve the data of before and another one the data after.
 */

export interface ReplaceDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
}

export interface NodeOf {
  readonly clusterId: string;
  readonly place: NodePlace;
  /** Tells this operation from any other. */
  readonly replacement: string;
}

/** A node's own files that are others afterwards. The last says that all of them are there. */
const OWN = [nodePaths.nodesConf, nodePaths.aclFile, nodePaths.serverConf];
const keptFolder = (replacement: string) => `${nodePaths.conf}/before-${replacement}`;
const keptPath = (replacement: string, path: string) => `${keptFolder(replacement)}/${path.split('/').at(-1)}`;

/** No process of the node runs any more. */
export async function haltNode({ docker }: ReplaceDeps, { clusterId, place }: NodeOf): Promise<void> {
  refuseForeign((await inspectContainer(docker, place.name))?.Config.Labels, clusterId, `container ${place.name}`);
  await stopContainer(docker, place.name);
}

/** The node is stopped, what it had of its own is kept beside, and its server does not start. @param leaders nodes that led their shards before */
export async function barNode(deps: ReplaceDeps, node: NodeOf & { readonly leaders: readonly string[] }): Promise<void> {
  const { docker } = deps;
  const { place, replacement, leaders } = node;
  await haltNode(deps, node);
  if ((await readFromNode(docker, place.name, keptPath(replacement, nodePaths.serverConf))) === undefined) {
    const found = await Promise.all(OWN.map(async (path) => ({ path, text: await readFromNode(docker, place.name, path) })));
    const files = found.flatMap(({ path, text }) => (text === undefined ? [] : [{ path: keptPath(replacement, path), text }]));
    await putIntoNode(docker, place.name, [noteOf({ replacement, leaders }), ...files], [keptFolder(replacement)]);
  }
  await put(docker, place, [{ path: nodePaths.serverConf, text: barredConf(replacement) }]);
}

/** The node is stopped; one that was barred before, and may have got its new settings, is barred again. */
export async function barAgain(deps: ReplaceDeps, node: NodeOf): Promise<void> {
  const { docker } = deps;
  const { place, replacement } = node;
  await haltNode(deps, node);
  if ((await readFromNode(docker, place.name, keptPath(replacement, nodePaths.serverConf))) !== undefined)
    await put(docker, place, [{ path: nodePaths.serverConf, text: barredConf(replacement) }]);
}

/** The node, which is barred, will start with this data when it is started; with none, it is a replica of its shard's first node. */
export async function replaceData(
  { docker, secrets }: ReplaceDeps,
  request: NodeOf & {
    readonly spec: ClusterSpec;
    readonly subnet: string;
    readonly slots: InitialSlots;
    /** The append-only folder that it loads. */
    readonly folder?: string;
    /** That data ends with a script. */
    readonly shifts: boolean;
    /** Of sentinel mode. */
    readonly primaryAddress: string;
  },
): Promise<void> {
  const { spec, clusterId, place, replacement, subnet, slots, folder, shifts, primaryAddress } = request;
  const before = await readFromNode(docker, place.name, keptPath(replacement, nodePaths.serverConf));
  if (before === undefined) throw fatal(failures.refused, `${place.name} is not barred: who else works on it?`);
  const held = await secrets.require(spec.name);
  const conf = withWrites(withData(before, folder ?? aofFolder(replacement)), spec);
  const members = initialMembers(spec, clusterId, subnet, slots);
  await put(docker, place, [
    ...(spec.mode === 'cluster'
      ? [{ path: nodePaths.nodesConf, text: renderNodesConf(spec, clusterId, members, nodeIdOf(clusterId, place.name)) }]
      : []),
    // Nobody but Holdfast may speak to it before all of it is known to be there.
    { path: nodePaths.aclFile, text: renderAcl(spec, held.system, [], { runsScript: shifts && folder !== undefined }) },
    {
      path: nodePaths.serverConf,
      text: spec.mode === 'cluster' ? conf : folder === undefined ? withReplicaOf(conf, primaryAddress) : withoutReplicaOf(conf),
    },
  ]);
}

/** The node, which is stopped, has its own files again; one that never lost them is left alone. */
export async function putBackData({ docker }: ReplaceDeps, { place, replacement }: NodeOf): Promise<void> {
  const found = await Promise.all(
    OWN.map(async (path) => ({ path, text: await readFromNode(docker, place.name, keptPath(replacement, path)) })),
  );
  const files = found.flatMap(({ path, text }): readonly NodeFile[] => (text === undefined ? [] : [{ path, text }]));
  if (files.some(({ path }) => path === nodePaths.serverConf)) await put(docker, place, files);
}

async function put(docker: Docker, place: NodePlace, files: readonly NodeFile[]): Promise<void> {
  if ((await inspectContainer(docker, place.name))?.State.Running === true)
    throw fatal(failures.refused, `somebody has started ${place.name}, which was stopped for a restore: who else works on it?`);
  refuseWhenCancelled();
  await putIntoNode(docker, place.name, files);
}

/** The node, which runs, keeps the data that it got: it is not put back any more. */
export async function commitData({ docker }: ReplaceDeps, { place, replacement }: NodeOf): Promise<void> {
  refuseWhenCancelled();
  await putIntoNode(docker, place.name, [noteOf({ replacement, leaders: [], committed: true })]);
}

const noteOf = (unfinished: Unfinished): NodeFile => ({ path: nodePaths.replacing, text: `${JSON.stringify(unfinished)}\n` });

/** What an operation that was terminated has left; undefined when there is nothing. */
export const findUnfinished = ({ docker }: ReplaceDeps, spec: ClusterSpec): Promise<Unfinished | undefined> =>
  readUnfinished(
    docker,
    placesOf(spec).flatMap(({ kind, name }) => (kind === 'data' ? [name] : [])),
  );

/** Removes all append-only folders but one, and what was kept of the node's own files. */
const TIDY = `cd "$1" && for folder in appendonlydir*; do [ "$folder" = "$3" ] || rm -rf "$folder"; done && rm -rf "$2"/before-* "$2/replacing.json" && echo tidy`;

/** The volume of a node that runs holds the data that its server uses, and no other. */
export async function clearFormerData(deps: ReplaceDeps, node: PlacedNode & Pick<NodeOf, 'clusterId'>): Promise<void> {
  const { docker } = deps;
  const { clusterId, place } = node;
  refuseForeign((await inspectContainer(docker, place.name))?.Config.Labels, clusterId, `container ${place.name}`);
  const [, used] = await withNode(await reachNode(deps, node), (server) => server.config('GET', 'appenddirname') as Promise<string[]>);
  if (used === undefined || used === '') throw passing(failures.nodeSilent, `${place.name} does not say which data it uses`);
  refuseWhenCancelled();
  const said = await runInContainer(docker, place.name, ['sh', '-c', TIDY, 'sh', nodePaths.db, nodePaths.conf, used]);
  if (said?.trim() !== 'tidy')
    throw passing(failures.engineRefused, `${place.name} does not remove its former data: ${said ?? 'it does not run'}`);
}
