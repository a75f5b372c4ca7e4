import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { inspectContainer } from '../docker/containers.ts';
import { putMark, readMark, type WholeData } from '../docker/node-data.ts';
import { createContainer, ensureVolume, NEVER_STARTED, type NodeRequest, refuseForeign } from '../docker/nodes.ts';
import { removeNode } from '../docker/removal.ts';
import { fatal, passing } from '../support/failure.ts';

export interface Prepared {
  /** Its id: another one of the same name, of another run, is another one. */
  readonly container: string;
  /** What is there already. */
  readonly found?: WholeData;
}

/**
 * A node that was never started has an empty volume, with the mark of the data that is to come; unless all of that is there already. A volume that an earlier attempt has filled in part
 * is made anew, and not gone on with: the engine lets only one of two attempts have it.
 * @throws NameTaken, PlanRefused when the node has run with other data
 */
export async function prepareVolume(
  { docker }: { readonly docker: Docker },
  { node, id }: { readonly node: NodeRequest; readonly id: string },
): Promise<Prepared> {
  const { place, spec, clusterId, newSince } = node;
  const before = await inspectContainer(docker, place.name);
  if (before !== undefined) {
    refuseForeign(before.Config.Labels, clusterId, `container ${place.name}`);
    const mark = await readMark(docker, place.name);
    if (mark?.id === id && mark.whole !== undefined) return { container: before.Id, found: mark.whole };
    if (before.State.StartedAt !== NEVER_STARTED)
      throw fatal(
        failures.refused,
        `${place.name} has run already, with other data: remove what an earlier operation left (holdfast deprovision ${spec.name}), then restore again`,
      );
  }
  // Also where somebody has removed the container: its volume may hold a part of anything.
  await removeNode(docker, spec.name, place.name, {
    clusterId,
    orderly: false,
    withVolume: true,
    ...(newSince === undefined ? {} : { newSince }),
  });
  await ensureVolume(docker, node);
  await createContainer(docker, node);
  await putMark(docker, place.name, { id });
  const made = await inspectContainer(docker, place.name);
  if (made === undefined) throw passing(failures.hostUnreachable, `${place.name} was made, and is gone: who else works on it?`);
  return { container: made.Id };
}
