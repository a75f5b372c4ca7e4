import { afterAll, beforeAll, expect, test } from 'vitest';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { archiveWorkflowId } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { heldAndArchived, replayed } from '../support/archived-shard.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { startLoad } from '../support/load-checker.ts';
import { endOf } from '../support/lone-archive.ts';
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
    const { held, timelines } = await heldAndArchived(stack, spec, shard, await primaryOf(shard));
    const [timeline, ...others] = timelines;
    expect(others, `shard ${shard}`).toEqual([]);
    expect(await replayed(stack, spec, timeline), `shard ${shard}`).toEqual(held);
  }
  expect((await timelinesOf(0))[0]?.replids.length).toBe(2);
  const slots = (await timelinesOf(1))[0]?.slots ?? [];
  expect(slots.length).toBeGreaterThan(1);

  await ask(stack, 'deprovision', { cluster, confirm: cluster });
  expect((await stack.client.workflow.getHandle(archiveWorkflowId(cluster)).describe()).status.name).toBe('COMPLETED');
  for (const shard of [0, 1, 2, 3]) expect((await timelinesOf(shard)).map(({ end }) => end?.because)).toEqual(['removed']);
}, 300_000);
