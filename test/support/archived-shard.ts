import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { readPieces } from '../../activities/archive/segment.ts';
import { openStream } from '../../activities/backup/open.ts';
import { asOperator, withNode } from '../../activities/redis/connection.ts';
import { type ClusterSpecInput, clusterSpec } from '../../config/cluster-spec.ts';
import { networkName, nodePaths } from '../../config/names.ts';
import { piecesFrom, type Timeline } from '../../model/recovery/archive.ts';
import { appendOnly, endOf } from './lone-archive.ts';
import { type Contents, load } from './lone-shard.ts';
import { until } from './processes.ts';
import type { Stack } from './stack.ts';

/** What a shard holds when all that was written to it by then is archived, and its timelines. Writers wait meanwhile, also that of the clock: its keys come and go. */
export async function heldAndArchived(
  { dependencies: { docker, secrets, store } }: Stack,
  spec: ClusterSpecInput,
  shard: number,
  primary: string,
): Promise<{ readonly held: Contents; readonly timelines: readonly Timeline[] }> {
  const container = docker.getContainer(primary);
  const address = (await container.inspect()).NetworkSettings.Networks[networkName(spec.name)]?.IPAddress ?? '';
  const target = asOperator(await secrets.require(spec.name), clusterSpec.parse(spec).security.tls, { kind: 'data', address });
  const timelines = () => readArchive(store, spec.name, shard);
  const found = await withNode(target, async (redis) => {
    await redis.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
    try {
      const end = Number(/master_repl_offset:(\d+)/.exec(await redis.info('replication'))?.[1]);
      await until(`shard ${shard} is archived`, async () => endOf((await timelines()).at(-1)) >= end, 60_000);
      await redis.save();
      const archive = await container.getArchive({ path: `${nodePaths.db}/dump.rdb` });
      for await (const entry of Readable.from(archive).pipe(extract())) return { rdb: await buffer(entry), timelines: await timelines() };
      throw new Error('no RDB');
    } finally {
      await redis.call('CLIENT', 'UNPAUSE');
    }
  });
  const held = await load(docker, clusterSpec.parse(spec), [{ path: `${nodePaths.db}/dump.rdb`, content: found.rdb }]);
  return { held, timelines: found.timelines };
}

/** What a server holds that loads the base of a shard's timeline, and all that follows. */
export async function replayed(
  { dependencies: { docker, secrets, store } }: Stack,
  spec: ClusterSpecInput,
  timeline: Timeline | undefined,
): Promise<Contents> {
  if (timeline === undefined) throw new Error('there is no timeline');
  const ring = await secrets.keyRing(spec.name);
  const { base } = timeline.begin;
  const opening = openStream(store.getStream(base.key), { name: base.key, kekById: ring.byId });
  const writes = await buffer(readPieces({ store, ring }, piecesFrom(timeline, base.offset)));
  return load(docker, clusterSpec.parse(spec), appendOnly(await buffer(opening.bytes), writes));
}
