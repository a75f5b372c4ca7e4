import { cancellationSignal } from '@temporalio/activity';
import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { recoverShard } from '../../model/recovery/archive.ts';
import { type ShardSource, sourceId, type WritesUntil } from '../../model/recovery/shard-recovery.ts';
import { readArchive } from '../archive/read-archive.ts';
import type { Opening } from '../backup/open.ts';
import { openShard, pour, requireSame, type StreamedFile, tarOf, told, type UnpackDeps } from '../backup/unpack.ts';
import { inspectContainer } from '../docker/containers.ts';
import { engineCall } from '../docker/engine.ts';
import { markOf, putMark, readMark } from '../docker/node-data.ts';
import { putIntoNode } from '../docker/node-files.ts';
import { createContainer, ensureVolume, NEVER_STARTED, type NodeRequest, refuseForeign } from '../docker/nodes.ts';
import { removeNode } from '../docker/removal.ts';
import { fatal } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { type Writes, writesUpTo } from './writes-up-to.ts';

export interface FillDeps extends UnpackDeps {
  readonly docker: Docker;
}

export interface FillRequest {
  /** The node that shall begin with the data. */
  readonly node: NodeRequest;
  readonly source: ShardSource;
}

/** What was laid out: what the server must have loaded when it serves. */
export interface LaidOut {
  readonly id: string;
  /** Of all files together. */
  readonly bytes: number;
  /** The last moment that is in it for certain, ms since 1970; missing for a base alone. */
  readonly reachedMs?: number;
  readonly did: 'laid out' | 'found';
}

const inside = (path: string) => path.slice(nodePaths.mount.length + 1);
/** As the servers name them. */
const NAME = 'appendonly.aof';
const [BASE, WRITES] = [`${NAME}.1.base.rdb`, `${NAME}.1.incr.aof`];

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
  const opening = await openShard(deps, source.cluster, source.base);
  const writes = source.until === undefined ? undefined : await writesOf(deps, source, source.until);
  await pour(tarOf([inside(nodePaths.db), inside(nodePaths.appendOnly)], filesOf(source, opening, writes)), async (tar, abortSignal) => {
    await engineCall(`copy data to ${place.name}`, () =>
      docker.getContainer(place.name).putArchive(tar, { path: nodePaths.mount, abortSignal }),
    );
  });
  refuseWhenCancelled();
  const lines = [`file ${BASE} seq 1 type b`, ...(writes === undefined ? [] : [`file ${WRITES} seq 1 type i`])];
  const whole = {
    bytes: source.base.object.plainBytes + (writes?.size ?? 0),
    ...(writes === undefined ? {} : { reachedMs: writes.cut.timeMs }),
  };
  await putIntoNode(docker, place.name, [
    { path: `${nodePaths.appendOnly}/${NAME}.manifest`, text: `${lines.join('\n')}\n` },
    markOf({ id, whole }),
  ]);
  return { id, ...whole, did: 'laid out' };
}

/** The archive may have been merged since the plan was made: what it has now is read. */
async function writesOf(
  { store, secrets }: FillDeps,
  { shard, cluster, base }: ShardSource,
  { timeline, atMs }: WritesUntil,
): Promise<Writes> {
  const found = (await readArchive(store, cluster, shard)).filter(({ begin }) => begin.id === timeline);
  const recovery = recoverShard(shard, found, [{ data: base }], atMs);
  if (recovery === undefined)
    throw fatal(
      failures.notRestorable,
      `the archive of shard ${shard} does not reach ${new Date(atMs).toISOString()} any more: was it rotated? See: holdfast restore ${cluster} --dry-run`,
    );
  const reading = { store, ring: await secrets.keyRing(cluster), signal: cancellationSignal() };
  return writesUpTo(reading, recovery.pieces, base.offset, atMs);
}

/** The files of the directory but for the list of them, which comes when all have gone by and were right. */
async function* filesOf({ base }: ShardSource, opening: Opening, writes: Writes | undefined): AsyncGenerator<StreamedFile> {
  const name = (file: string) => `${inside(nodePaths.appendOnly)}/${file}`;
  yield { name: name(BASE), size: base.object.plainBytes, content: told(opening, base) };
  requireSame(opening, base);
  if (writes !== undefined) yield { name: name(WRITES), size: writes.size, content: writes.content };
}
