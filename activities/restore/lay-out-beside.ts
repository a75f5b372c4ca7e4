import { nodePaths } from '../../config/names.ts';
import type { NodePlace } from '../../model/layout.ts';
import type { ShardSource } from '../../model/recovery/shard-recovery.ts';
import { inspectContainer } from '../docker/containers.ts';
import type { WholeData } from '../docker/node-data.ts';
import { putIntoNode, putTar } from '../docker/node-files.ts';
import { refuseForeign } from '../docker/nodes.ts';
import { attempt, refuseWhenCancelled } from '../support/until.ts';
import { layOutData } from './append-only.ts';
import type { FillDeps } from './fill-shard.ts';

export interface BesideRequest {
  readonly clusterId: string;
  readonly place: NodePlace;
  readonly source: ShardSource;
  /** Tells this operation from any other. */
  readonly replacement: string;
}

/** Folders of append-only files in a node's volume; one of them is in use. */
export const aofFolder = (replacement: string, number?: number): string =>
  `appendonlydir-${replacement}${number === undefined ? '' : `-${number}`}`;

/**
 * A shard's data lies in a folder of its own in the volume of a node that serves, as an append-only directory; the server knows nothing of it. Each attempt has another folder: one that was given up, and
 * writes on, spoils nothing.
 * @throws ObjectDamaged, ObjectMissing, NotRestorable, HostFull
 */
export async function layOutBeside(
  deps: FillDeps,
  { clusterId, place, source, replacement }: BesideRequest,
): Promise<WholeData & { readonly folder: string }> {
  const { docker } = deps;
  refuseForeign((await inspectContainer(docker, place.name))?.Config.Labels, clusterId, `container ${place.name}`);
  const folder = aofFolder(replacement, attempt());
  const { whole, list } = await layOutData(deps, source, putTar(docker, place.name), `${nodePaths.db}/${folder}`);
  refuseWhenCancelled();
  await putIntoNode(docker, place.name, [list]);
  return { ...whole, folder };
}
