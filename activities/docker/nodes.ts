import type Docker from 'dockerode';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { labels, networkName, nodePaths, volumeName } from '../../config/names.ts';
import { addressOf, type NodePlace, nodeIdOf } from '../../model/layout.ts';
import type { ClusterMember } from '../../model/observation.ts';
import { renderAcl, renderSentinelAcl, renderSentinelConf, renderServerConf, withReplicaOf } from '../../model/server-conf.ts';
import { initialMembers, renderNodesConf } from '../../model/topology.ts';
import { asOperator, type NodeAddress, pingNode, replicaLinkUp } from '../redis/connection.ts';
import { issueNodeCertificate } from '../secrets/certificates.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import { fatal, messageOf } from '../support/failure.ts';
import { refuseWhenCancelled, until } from '../support/until.ts';
import { containerOptions, inspectContainer, lastLogLines, limitsFor, nodeLabels, startContainer } from './containers.ts';
import { engineCall, engineFailure, statusOf } from './engine.ts';
import { reach } from './networks.ts';
import { requireWhole } from './node-data.ts';
import { isLaidOut, layOut, type NodeFile, putIntoNode, readFromNode } from './node-files.ts';
import { isTorn } from './removal.ts';

/** What a node is made from. */
export interface NodeRequest {
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly generation: number;
  readonly place: NodePlace;
  readonly subnet: string;
  /** ISO 8601; given when the plan saw no volume of this node: one that appears after this moment is of this operation's making. */
  readonly newSince?: string;
  /** Members that the cluster has already, when there are any; else the node starts with the initial layout. */
  readonly members?: readonly ClusterMember[];
  /** Address of the primary, in sentinel mode. */
  readonly primaryAddress?: string;
  /** The data that its volume was given before: it starts with that, or not at all. */
  readonly restored?: string;
  /** That data ends with a script. */
  readonly shifts?: true;
}

export interface NodeDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
}

/** How long a server may take from its start to its first answer; loading a large file is an answer too. */
const ANSWER_WITHIN_MS = 30_000;
const LINK_WITHIN_MS = 5000;
export const NEVER_STARTED = '0001-01-01T00:00:00Z';

/**
 * The node's container runs and its server answers. Made from nothing, completed from any half-made state, or found as it is.
 * @throws NameTaken when the container or volume is not this cluster's; NodeDied with its last log lines; NodeSilent.
 */
export async function ensureNode(
  { docker, secrets }: NodeDeps,
  request: NodeRequest,
): Promise<{ readonly did: 'made' | 'started' | 'found' }> {
  const { spec, clusterId, place } = request;
  await ensureVolume(docker, request);
  const before = await inspectContainer(docker, place.name);
  if (before !== undefined) refuseForeign(before.Config.Labels, clusterId, `container ${place.name}`);
  else await createContainer(docker, request);
  const started = before !== undefined && before.State.StartedAt !== NEVER_STARTED;
  if (!started && !(await isLaidOut(docker, place.name))) {
    await requireWhole(docker, place.name, request.restored);
    await layOut(docker, place.name, await filesOf(secrets, request));
  }
  if (started && before?.State.Running !== true) await followNow(docker, request);
  if (before?.State.Running !== true) await startContainer(docker, place.name);
  const held = await secrets.require(spec.name);
  const target = asOperator(held, spec.security.tls, { kind: place.kind, address: addressOf(place, request.subnet) });
  await reach(docker, networkName(spec.name));
  await awaitAnswer(docker, place, () => pingNode(target));
  if (spec.mode === 'sentinel' && place.kind === 'data' && request.primaryAddress !== target.address) await awaitLink(target);
  return { did: before === undefined ? 'made' : before.State.Running ? 'found' : 'started' };
}

/**
 * A data node of sentinel mode that was stopped may have been the primary: started as it was, it would take writes until the sentinels come by, and
 * lose them. So it starts as a replica of whoever is the primary now.
 */
async function followNow(docker: Docker, { spec, place, subnet, primaryAddress }: NodeRequest): Promise<void> {
  if (spec.mode !== 'sentinel' || place.kind !== 'data' || primaryAddress === undefined || primaryAddress === addressOf(place, subnet))
    return;
  const conf = await readFromNode(docker, place.name, nodePaths.serverConf);
  if (conf !== undefined)
    await putIntoNode(docker, place.name, [{ path: nodePaths.serverConf, text: withReplicaOf(conf, primaryAddress) }]);
}

export async function ensureVolume(docker: Docker, { spec, clusterId, generation, place, newSince }: NodeRequest): Promise<void> {
  const name = volumeName(place.name);
  const create = () =>
    engineCall(`make volume ${name}`, () => docker.createVolume({ Name: name, Labels: nodeLabels(spec, clusterId, generation, place) }));
  await create();
  // An existing volume of the name is returned as if it were new, so its labels must be looked at.
  const look = () => engineCall(`look at volume ${name}`, () => docker.getVolume(name).inspect());
  if (isTorn(await look(), newSince)) {
    await engineCall(`remove volume ${name}`, () => docker.getVolume(name).remove());
    await create();
  }
  refuseForeign((await look()).Labels, clusterId, `volume ${name}`);
}

export function refuseForeign(found: Readonly<Record<string, string>> | null | undefined, clusterId: string, thing: string): void {
  if (found?.[labels.clusterId] === clusterId) return;
  throw fatal(failures.nameTaken, `${thing} exists and is not this cluster's: remove or rename it, or choose another cluster name`);
}

export async function createContainer(docker: Docker, { spec, clusterId, generation, place, subnet }: NodeRequest): Promise<void> {
  refuseWhenCancelled();
  try {
    await docker.createContainer(containerOptions(spec, clusterId, generation, place, subnet));
  } catch (error) {
    if (statusOf(error) !== 409) throw engineFailure(error, `make ${place.name}`); // 409: another attempt of this step was faster
  }
}

async function filesOf(
  secrets: SecretStore,
  { spec, clusterId, place, subnet, members, primaryAddress, restored, shifts }: NodeRequest,
): Promise<readonly NodeFile[]> {
  const held = await secrets.require(spec.name);
  const users = await secrets.hashUsers(spec, held);
  const address = addressOf(place, subnet);
  const files: NodeFile[] = [];
  if (spec.security.tls) {
    const pair = await issueNodeCertificate(held.ca, place.name, address);
    files.push(
      { path: nodePaths.caCert, text: held.ca.cert },
      { path: nodePaths.cert, text: pair.cert },
      { path: nodePaths.key, text: pair.key },
    );
  }
  if (place.kind === 'sentinel') {
    files.push({ path: nodePaths.aclFile, text: renderSentinelAcl(held.system, users) });
    files.push({ path: nodePaths.serverConf, text: renderSentinelConf(spec, address, primaryAddress ?? '', held.system) });
    return files;
  }
  files.push({ path: nodePaths.aclFile, text: renderAcl(spec, held.system, users, { runsScript: shifts === true }) });
  if (spec.mode === 'cluster') {
    const all = members ?? initialMembers(spec, clusterId, subnet);
    files.push({ path: nodePaths.nodesConf, text: renderNodesConf(spec, clusterId, all, nodeIdOf(clusterId, place.name)) });
  }
  const follows = spec.mode === 'sentinel' && primaryAddress !== address ? primaryAddress : undefined;
  // Data that is brought back is an append-only file, also where the spec wants none: it is switched off when it is loaded.
  const first = restored === undefined ? spec : { ...spec, persistence: { ...spec.persistence, aof: true } };
  files.push({ path: nodePaths.serverConf, text: renderServerConf(first, address, held.system, follows) });
  return files;
}

/**
 * Gives a replica a moment to find its primary. Sentinels that start after it then learn of it at once, and otherwise only with their next
 * INFO, ten seconds on. A replica that does not find it is no failure here: the primary may be away, and `awaitFormed` tells.
 */
async function awaitLink(target: NodeAddress): Promise<void> {
  const end = Date.now() + LINK_WITHIN_MS;
  await until(async () => ((await replicaLinkUp(target)) || Date.now() > end ? true : undefined), {
    timeoutMs: 2 * LINK_WITHIN_MS,
    late: () => new Error('unreachable'),
  });
}

/** Waits for the first answer, and looks meanwhile whether the server died: then its own last words are the error. */
async function awaitAnswer(docker: Docker, place: NodePlace, ping: () => Promise<void>): Promise<void> {
  let lastError = 'no answer yet';
  await until(
    async () => {
      const silent = await ping().then(
        () => undefined,
        (error: unknown) => messageOf(error),
      );
      if (silent === undefined) return true;
      lastError = silent;
      const container = await inspectContainer(docker, place.name);
      // One that was started again has no exit code while it runs: it answers, or ends once more.
      if (container?.State.Running === true && !container.State.Restarting) return undefined;
      const why =
        container === undefined
          ? 'was removed'
          : container.State.OOMKilled
            ? 'was killed: out of memory'
            : `ended with exit code ${container.State.ExitCode}`;
      throw fatal(
        failures.nodeDied,
        `${place.name} ${why} right after its start. Its last lines:\n${await lastLogLines(docker, place.name, 20)}`,
      );
    },
    {
      timeoutMs: ANSWER_WITHIN_MS,
      late: () =>
        fatal(
          failures.nodeSilent,
          `${place.name} runs but did not answer within ${ANSWER_WITHIN_MS / 1000} s (${lastError}): look at docker logs ${place.name} and at firewalls`,
        ),
    },
  );
}

/** The container has the spec's limits on memory and CPU; takes effect at once. */
export async function setLimits(docker: Docker, spec: ClusterSpec, node: string, kind: NodePlace['kind']): Promise<void> {
  await engineCall(`set limits of ${node}`, () => docker.getContainer(node).update(limitsFor(spec, kind)));
}
