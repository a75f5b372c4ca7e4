import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { readPieces } from '../../activities/archive/segment.ts';
import { openStream } from '../../activities/backup/open.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { archiveWorkflowId, nodePaths } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { piecesFrom, type Timeline } from '../../model/recovery/archive.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { startLoad } from '../support/load-checker.ts';
import { appendOnly, endOf } from '../support/lone-archive.ts';
import { type Contents, load } from '../support/lone-shard.ts';
import { type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { ask, loginOf, onNode } from './ask.ts';

let stack: Stack;
let worker: Running;
const cluster = uniqueName();
const spec = testSpec(cluster, {
  engine: 'valkey',
  version: '9.1',
  pitr: { enabled: true },
  security: { users: [{ name: 'app', rules: '~* &* +@all' }] },
});

beforeAll(async () => {
  stack = await startStack({ withWorker: false });
  worker = stack.startWorker();
  await ask(stack, 'provision', { spec });
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack.stop();
});

const timelinesOf = (shard: number) => readArchive(stack.dependencies.store, cluster, shard);
const status = () => ask<StatusReport>(stack, 'status', { cluster });
const primaryOf = async (shard: number): Promise<string> =>
  (await status()).shards[shard]?.nodes.find(({ role }) => role === 'primary')?.name ?? '';

/** What a shard holds when all that was written to it by then is archived. */
async function held(shard: number): Promise<Contents> {
  const node = await primaryOf(shard);
  return onNode(stack, cluster, node, async (redis) => {
    await redis.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
    const end = Number(/master_repl_offset:(\d+)/.exec(await redis.info('replication'))?.[1]);
    await until(`shard ${shard} is archived`, async () => endOf((await timelinesOf(shard)).at(-1)) >= end, 60_000);
    await redis.save();
    const archive = await stack.dependencies.docker.getContainer(node).getArchive({ path: `${nodePaths.db}/dump.rdb` });
    await redis.call('CLIENT', 'UNPAUSE');
    for await (const entry of Readable.from(archive).pipe(extract()))
      return load(stack.dependencies.docker, clusterSpec.parse(spec), [{ path: `${nodePaths.db}/dump.rdb`, content: await buffer(entry) }]);
    throw new Error('no RDB');
  });
}

async function replayed(timeline: Timeline | undefined): Promise<Contents> {
  if (timeline === undefined) throw new Error('there is no timeline');
  const { docker, secrets, store } = stack.dependencies;
  const ring = await secrets.keyRing(cluster);
  const { base } = timeline.begin;
  const opening = openStream(store.getStream(base.key), { name: base.key, kekById: ring.byId });
  const writes = await buffer(readPieces({ store, ring }, piecesFrom(timeline, base.offset)));
  return load(docker, clusterSpec.parse(spec), appendOnly(await buffer(opening.bytes), writes));
}

test('every shard is archived through a dead worker, a failover and a scale, without a gap, and ends with the cluster', async () => {
  await until(
    'every shard has a timeline',
    async () => (await Promise.all([0, 1, 2].map(timelinesOf))).every(({ length }) => length === 1),
    60_000,
  );
  const writing = startLoad(await loginOf(stack, cluster));
  const grown = async (shard: number) => {
    const before = endOf((await timelinesOf(shard)).at(-1));
    await until('it goes on', async () => endOf((await timelinesOf(shard)).at(-1)) > before + 5000, 60_000);
  };
  await grown(1);
  await worker.kill('SIGKILL');
  worker = stack.startWorker();
  await grown(1);
  await onNode(stack, cluster, `${cluster}-0-1`, (redis) => redis.call('CLUSTER', 'FAILOVER'));
  await until('another node leads', async () => (await primaryOf(0)) === `${cluster}-0-1`);
  await grown(0);
  await ask(stack, 'scale', { cluster, shards: 4 });
  await until('the new shard has a timeline', async () => (await timelinesOf(3)).length === 1, 60_000);
  await grown(0);
  const { lost, phantom } = await writing.stop();
  expect([lost, phantom]).toEqual([[], []]);

  for (const shard of [0, 1, 3]) {
    const source = await held(shard);
    const [timeline, ...others] = await timelinesOf(shard);
    expect(others, `shard ${shard}`).toEqual([]);
    expect(await replayed(timeline), `shard ${shard}`).toEqual(source);
  }
  expect((await timelinesOf(0))[0]?.replids.length).toBe(2);
  const slots = (await timelinesOf(1))[0]?.slots ?? [];
  expect(slots.length).toBeGreaterThan(1);

  await ask(stack, 'deprovision', { cluster, confirm: cluster });
  expect((await stack.client.workflow.getHandle(archiveWorkflowId(cluster)).describe()).status.name).toBe('COMPLETED');
  for (const shard of [0, 1, 2, 3]) expect((await timelinesOf(shard)).map(({ end }) => end?.because)).toEqual(['removed']);
}, 300_000);
