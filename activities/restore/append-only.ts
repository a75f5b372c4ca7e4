import { Readable } from 'node:stream';
import { cancellationSignal } from '@temporalio/activity';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { recoverShard } from '../../model/recovery/archive.ts';
import type { ShardSource, WritesUntil } from '../../model/recovery/shard-recovery.ts';
import { readArchive } from '../archive/read-archive.ts';
import type { Opening } from '../backup/open.ts';
import { openShard, pour, requireSame, type StreamedFile, tarOf, told, type UnpackDeps } from '../backup/unpack.ts';
import type { WholeData } from '../docker/node-data.ts';
import type { NodeFile } from '../docker/node-files.ts';
import { fatal } from '../support/failure.ts';
import { shiftingCommand } from './shift-times.ts';
import { type Writes, writesUpTo } from './writes-up-to.ts';

/** As the servers name them. */
export const NAME = 'appendonly.aof';
export const WRITES = `${NAME}.1.incr.aof`;
const [BASE, SHIFT] = [`${NAME}.1.base.rdb`, `${NAME}.2.incr.aof`];

export const inside = (path: string) => path.slice(nodePaths.mount.length + 1);

/**
 * Sends a shard's data through the engine into a volume that is mounted as a node's. Nothing is written down on the way, and little is in memory. A server takes notice of the
 * files when `list` lies beside them.
 * @param folder of the append-only files
 * @throws ObjectDamaged, ObjectMissing, NotRestorable, HostFull
 */
export async function layOutData(
  deps: UnpackDeps,
  source: ShardSource,
  put: Parameters<typeof pour>[1],
  folder: string = nodePaths.appendOnly,
): Promise<{ readonly whole: WholeData; readonly list: NodeFile }> {
  const opening = await openShard(deps, source, source.base);
  const writes = source.until === undefined ? undefined : await writesOf(deps, source, source.until);
  const shift = source.ttl === 'shift' ? shiftingCommand(source) : undefined;
  await pour(tarOf([inside(nodePaths.db), inside(folder)], filesOf(source, opening, writes, shift, folder)), put);
  const lines = [
    `file ${BASE} seq 1 type b`,
    ...(writes === undefined ? [] : [`file ${WRITES} seq 1 type i`]),
    ...(shift === undefined ? [] : [`file ${SHIFT} seq 2 type i`]),
  ];
  return {
    whole: {
      bytes: source.base.object.plainBytes + (writes?.size ?? 0) + (shift?.length ?? 0),
      ...(writes === undefined ? {} : { reachedMs: writes.cut.timeMs }),
    },
    list: { path: `${folder}/${NAME}.manifest`, text: `${lines.join('\n')}\n` },
  };
}

/** The archive may have been merged since the plan was made: what it has now is read. */
export async function writesOf(
  { store, secrets }: UnpackDeps,
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

async function* filesOf(
  { base }: ShardSource,
  opening: Opening,
  writes: Writes | undefined,
  shift: Buffer | undefined,
  folder: string,
): AsyncGenerator<StreamedFile> {
  const name = (file: string) => `${inside(folder)}/${file}`;
  yield { name: name(BASE), size: base.object.plainBytes, content: told(opening, base) };
  requireSame(opening, base);
  if (writes !== undefined) yield { name: name(WRITES), size: writes.size, content: writes.content };
  if (shift !== undefined) yield { name: name(SHIFT), size: shift.length, content: Readable.from([shift]) };
}
