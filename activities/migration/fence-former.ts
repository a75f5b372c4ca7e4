import { log } from '@temporalio/activity';
import type Docker from 'dockerode';
import { nodePaths } from '../../config/names.ts';
import { nodeIdOf } from '../../model/layout.ts';
import type { ShardNow } from '../../model/migration/shards-now.ts';
import { answered, type Observation } from '../../model/observation.ts';
import { membersForFormer, renderNodesConf } from '../../model/topology.ts';
import { inspectContainer, startContainer } from '../docker/containers.ts';
import { engineCall, statusOf } from '../docker/engine.ts';
import { putIntoNode, readFromNode } from '../docker/node-files.ts';
import { parseClusterNodes } from '../redis/parse.ts';
import type { ClusterRef } from './cluster-now.ts';

/** How long a server that was killed may take to be gone. */
const GONE_WITHIN_MS = 10_000;

/**
 * A primary that died while it was given slots still leads when it comes back, in its own eyes. Slots that it has open Valkey from 8.0 then takes for its own
 * as soon as it hears that the former owner has them no more, by a newer word than that of the replica which was promoted meanwhile and has them all; that
 * one gives them up and deletes their keys, with all that clients have written since. And slots of which nobody had heard yet it takes from their owner, so
 * that the shard has two primaries (both seen on 9.1: whose word comes first decides). So a primary that was replaced comes back as a replica: its
 * nodes.conf says so before it starts. One that is only frozen is ended for that, and started again. Safe to repeat.
 * @returns node ids of those that are away and come back as replicas
 */
export async function fenceFormer(
  docker: Docker,
  { spec, clusterId }: ClusterRef,
  shards: readonly ShardNow[],
  observation: Observation,
): Promise<ReadonlySet<string>> {
  const fenced = new Set<string>();
  const answers = new Set(observation.nodes.filter(answered).map(({ name }) => name));
  for (const { shard, primary } of shards) {
    if (primary === undefined) continue;
    const away = observation.containers.filter((one) => one.kind === 'data' && one.shard === shard && !answers.has(one.name));
    for (const { name } of away) {
      const itself = parseClusterNodes((await readFromNode(docker, name, nodePaths.nodesConf)) ?? '').find(({ myself }) => myself);
      const own = nodeIdOf(clusterId, name);
      if (itself?.role === 'replica') fenced.add(own);
      if (itself?.role !== 'primary') continue;
      const members = membersForFormer(observation.views[0]?.members ?? [], own, primary.nodeId);
      if (!members.some(({ nodeId }) => nodeId === own)) continue; // the others have forgotten it
      log.warn('a primary that was replaced will come back as a replica', { cluster: spec.name, node: name, now: primary.name });
      const ran = await endNow(docker, name);
      await putIntoNode(docker, name, [{ path: nodePaths.nodesConf, text: renderNodesConf(spec, clusterId, members, own) }]);
      if (ran) await startContainer(docker, name);
      fenced.add(own);
    }
  }
  return fenced;
}

/** @returns whether it ran, or was frozen */
async function endNow(docker: Docker, name: string): Promise<boolean> {
  if ((await inspectContainer(docker, name))?.State.Running !== true) return false;
  const container = docker.getContainer(name);
  await engineCall(`end ${name}`, () =>
    container.kill({ signal: 'SIGKILL' }).catch((error: unknown) => {
      if (statusOf(error) !== 409) throw error; // it has ended meanwhile
    }),
  );
  await engineCall(`end ${name}`, () => container.wait({ abortSignal: AbortSignal.timeout(GONE_WITHIN_MS) }));
  return true;
}
