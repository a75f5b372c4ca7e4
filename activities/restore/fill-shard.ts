import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { type ShardSource, sourceId } from '../../model/recovery/shard-recovery.ts';
import type { UnpackDeps } from '../backup/unpack.ts';
import { inspectContainer } from '../docker/containers.ts';
import { engineCall } from '../docker/engine.ts';
import { markOf, putMark, readMark } from '../docker/node-data.ts';
import { putIntoNode } from '../docker/node-files.ts';
import { createContainer, ensureVolume, NEVER_STARTED, type NodeRequest, refuseForeign } from '../docker/nodes.ts';
import { removeNode } from '../docker/removal.ts';
import { fatal } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { layOutData, type Whole } from './append-only.ts';

export interface FillDeps extends UnpackDeps {
  readonly docker: Docker;
}

export interface FillRequest {
  /** The node that shall begin with the data. */
  readonly node: NodeRequest;
  readonly source: ShardSource;
}

/** What was laid out: what the server must have loaded when it serves. */
export interface LaidOut extends Whole {
  readonly id: string;
  readonly did: 'laid out' | 'found';
}

/**
 * The volume of a node that was never started holds a shard's data, as an append-only directory that its server loads. A volume that an earlier attempt has filled in part
 * is made anew, and not gone on with: the engine lets only one of two attempts have it.
 * @throws NameTaken, PlanRefused when the node has run with other data; ObjectDamaged, ObjectMissing, HostFull
 */
export async function fillShard(deps: FillDeps, { node, source }: FillRequest): Promise<LaidOut> {
  const { docker } = deps;
  const { place, spec, clusterId, newSince } = node;
  const id = sourceId(source);
  const before = await inspectContainer(docker, place.name);
  if (before !== undefined) {
    refuseForeign(before.Config.Labels, clusterId, `container ${place.name}`);
    const mark = await readMark(docker, place.name);
    if (mark?.id === id && mark.whole !== undefined) return { id, ...mark.whole, did: 'found' };
    if (before.State.StartedAt !== NEVER_STARTED)
      throw fatal(
        failures.refused,
        `${place.name} has run already, with other data: remove what an earlier operation left (holdfast deprovision ${spec.name}), then restore again`,
      );
    await removeNode(docker, spec.name, place.name, {
      clusterId,
      orderly: false,
      withVolume: true,
      ...(newSince === undefined ? {} : { newSince }),
    });
  }
  await ensureVolume(docker, node);
  await createContainer(docker, node);
  await putMark(docker, place.name, { id });
  const { whole, list } = await layOutData(deps, source, async (tar, abortSignal) => {
    await engineCall(`copy data to ${place.name}`, () =>
      docker.getContainer(place.name).putArchive(tar, { path: nodePaths.mount, abortSignal }),
    );
  });
  refuseWhenCancelled();
  await putIntoNode(docker, place.name, [list, markOf({ id, whole })]);
  return { id, ...whole, did: 'laid out' };
}
