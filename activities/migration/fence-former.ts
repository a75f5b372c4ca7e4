import { log } from '@temporalio/activity';
import type Docker from 'dockerode';
import { nodePaths } from '../../config/names.ts';
import { withoutTaken } from '../../model/migration/open-slots.ts';
import type { ShardNow } from '../../model/migration/shards-now.ts';
import { answered, type Observation } from '../../model/observation.ts';
import { inspectContainer } from '../docker/containers.ts';
import { engineCall, statusOf } from '../docker/engine.ts';
import { putIntoNode, readFromNode } from '../docker/node-files.ts';

/** How long a server that was killed may take to be gone. */
const GONE_WITHIN_MS = 10_000;

/**
 * A primary that died while it was taking slots still has them open when it comes back. Valkey from 8.0 then takes each of them for its own as soon as
 * it hears that the former owner has it no more, by a newer word than that of the replica which was promoted meanwhile and has them all; that one
 * gives them up and deletes their keys, with all that clients have written since (seen on 9.1: whose word comes first decides). So a primary that was
 * replaced forgets what it was taking before it comes back. One that is only frozen is ended for it, and started again. Safe to repeat.
 * @returns whether any was found, running or not
 */
export async function fenceFormer(docker: Docker, cluster: string, shards: readonly ShardNow[], observation: Observation): Promise<void> {
  const answers = new Set(observation.nodes.filter(answered).map(({ name }) => name));
  for (const { shard, primary } of shards) {
    const away = observation.containers.filter((one) => one.kind === 'data' && one.shard === shard && !answers.has(one.name));
    for (const { name } of primary === undefined ? [] : away) {
      const nodesConf = await readFromNode(docker, name, nodePaths.nodesConf);
      if (nodesConf === undefined || withoutTaken(nodesConf) === undefined) continue;
      log.warn('a primary that was replaced forgets the slots that it was taking', { cluster, node: name, now: primary?.name });
      const ran = await endNow(docker, name);
      // As it is now: it may have heard of something before it ended.
      const text = withoutTaken((await readFromNode(docker, name, nodePaths.nodesConf)) ?? '');
      if (text !== undefined) await putIntoNode(docker, name, [{ path: nodePaths.nodesConf, text }]);
      if (ran) await engineCall(`start ${name}`, () => docker.getContainer(name).start());
    }
  }
}

/** @returns whether it ran, or was frozen */
async function endNow(docker: Docker, name: string): Promise<boolean> {
  const running = async () => (await inspectContainer(docker, name))?.State.Running === true;
  if (!(await running())) return false;
  const container = docker.getContainer(name);
  await engineCall(`end ${name}`, () =>
    container.kill({ signal: 'SIGKILL' }).catch((error: unknown) => {
      if (statusOf(error) !== 409) throw error; // it has ended meanwhile
    }),
  );
  await engineCall(`end ${name}`, () => container.wait({ abortSignal: AbortSignal.timeout(GONE_WITHIN_MS) }));
  return true;
}
