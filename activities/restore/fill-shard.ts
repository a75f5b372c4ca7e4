import type Docker from 'dockerode';
import { type ShardSource, sourceId } from '../../model/recovery/shard-recovery.ts';
import type { UnpackDeps } from '../backup/unpack.ts';
import { markOf, type WholeData } from '../docker/node-data.ts';
import { putIntoNode, putTar } from '../docker/node-files.ts';
import type { NodeRequest } from '../docker/nodes.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { layOutData } from './append-only.ts';
import { prepareVolume } from './prepare-volume.ts';

export interface FillDeps extends UnpackDeps {
  readonly docker: Docker;
}

export interface FillRequest {
  /** The node that shall begin with the data. */
  readonly node: NodeRequest;
  readonly source: ShardSource;
}

/** What was laid out: what the server must have loaded when it serves. */
export interface LaidOut extends WholeData {
  readonly id: string;
  readonly did: 'laid out' | 'found';
}

/**
 * The volume of a node that was never started holds a shard's data, as an append-only directory that its server loads.
 * @throws NameTaken, PlanRefused when the node has run with other data; ObjectDamaged, ObjectMissing, HostFull
 */
export async function fillShard(deps: FillDeps, { node, source }: FillRequest): Promise<LaidOut> {
  const { docker } = deps;
  const { name } = node.place;
  const id = sourceId(source);
  const { found } = await prepareVolume(deps, { node, id });
  if (found !== undefined) return { id, ...found, did: 'found' };
  const { whole, list } = await layOutData(deps, source, putTar(docker, name));
  refuseWhenCancelled();
  await putIntoNode(docker, name, [list, markOf({ id, whole })]);
  return { id, ...whole, did: 'laid out' };
}
