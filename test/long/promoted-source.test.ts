import { setTimeout as sleep } from 'node:timers/promises';
import calculateSlot from 'cluster-key-slot';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writtenSinceItLed } from '../../activities/migration/written-since.ts';
import { asOperator } from '../../activities/redis/connection.ts';
import { parseInfo } from '../../activities/redis/parse.ts';
import { openWire } from '../../activities/redis/wire.ts';
import { WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { asApplication, ask, onNode } from '../integration/ask.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

/** Keys of one slot: fewer than a slot may have whose keys are measured one by one while they move. */
const KEYS = 49_000;
/** Long enough that a server would compress it. */
const OLD = 'old '.repeat(20);
/** Keys that clients write again at the destination. */
const WRITTEN = 300;
/** As slow as it gets: the slot is open for some ten seconds. */
const limits = { batchKeys: 10, probeP99Ms: 0.5, nodeAwayMs: 120_000 };

/** A hash tag of a slot of the first shard. */
function firstTag(): readonly [tag: string, slot: number] {
  for (let i = 0; ; i++) if (calculateSlot(`${i}`) < 5000) return [`${i}`, calculateSlot(`${i}`)];
}

const namesOn = async (node: Redis, slot: number): Promise<readonly string[]> =>
  (await node.call('CLUSTER', 'GETKEYSINSLOT', slot, 2 * KEYS)) as string[];

/** As a client that was sent here by the source. */
async function writeHere(destination: Redis, names: readonly string[], value: string): Promise<void> {
  const pipeline = destination.pipeline();
  for (const name of names) pipeline.call('ASKING').set(name, value);
  const failed = ((await pipeline.exec()) ?? []).find(([error]) => error !== null);
  if (failed !== undefined) throw failed[0];
}

/**
 * The replica of the first shard hears nothing more of its primary: not that it is frozen, for then what the other had sent would still be read. It is no follower
 * of the primary any more, and yet one that is promoted.
 */
async function cutLink(cluster: string): Promise<() => Promise<unknown>> {
  const onReplica = <T>(work: (redis: Redis) => Promise<T>) => onNode(stack, cluster, `${cluster}-0-1`, work);
  const [, password = ''] = await onReplica(async (replica) => {
    const was = (await replica.config('GET', 'masterauth')) as string[];
    await replica.config('SET', 'masterauth', 'wrong');
    return was;
  });
  await onNode(stack, cluster, `${cluster}-0-0`, (primary) => primary.call('CLIENT', 'KILL', 'TYPE', 'replica'));
  return () => onReplica((replica) => replica.config('SET', 'masterauth', password));
}

/** Names of keys that leave next. Every second one has another value right before: of that the replica hears nothing, either. */
const writtenOnceMore = (cluster: string, slot: number, tag: string): Promise<readonly string[]> =>
  onNode(stack, cluster, `${cluster}-0-0`, async (source) => {
    const next = (await namesOn(source, slot)).filter((name) => name.startsWith(`{${tag}}`)).slice(0, 3 * WRITTEN);
    const pipeline = source.pipeline();
    for (const [index, name] of next.entries()) if (index % 2 === 0) pipeline.set(name, 'newer', 'XX');
    await pipeline.exec(); // those that have left by now answer ASK
    return next;
  });

/** Asks the promoted node of the first shard which keys clients have written since it leads: one of these two. */
async function toldApart(cluster: string): Promise<ReadonlySet<string> | undefined> {
  const promoted = `${cluster}-0-1`;
  const names = ['written {b}', 'never written {b}'];
  await onNode(stack, cluster, promoted, (redis) => redis.set(names[0] ?? '', 'value'));
  const { shards } = await ask<StatusReport>(stack, 'status', { cluster });
  const { address = '' } = shards[0]?.nodes.find(({ name }) => name === promoted) ?? {};
  const target = asOperator(await stack.dependencies.secrets.require(cluster), true, { kind: 'data', address });
  const wire = await openWire(target);
  try {
    const formerStream = parseInfo(String(await wire.one('INFO', 'replication'))).get('master_replid2') ?? '';
    return await writtenSinceItLed(wire, target, { names: new Set(names), formerStream });
  } finally {
    wire.close();
  }
}

// A source whose replica has not heard that keys have left, and dies: the promoted one has them still, as they were, in a slot that it is to send.
test.each([
  ['redis', '7.0'],
  ['redis', '8.0'],
  ['valkey', '8.1'],
  ['valkey', '9.1'],
] as const)('a promoted source sends no old value over what clients have written since: %s %s', async (engine, version) => {
  const cluster = uniqueName();
  const { docker } = stack.dependencies;
  const [tag, slot] = firstTag();
  try {
    await ask(stack, 'provision', { spec: testSpec(cluster, { engine, version, shards: 3, replicasPerShard: 1 }) });
    await onNode(stack, cluster, `${cluster}-0-0`, async (source) => {
      for (let at = 0; at < KEYS; at += 1000)
        await source.mset(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`{${tag}}${at + i}`, OLD])));
    });
    await onNode(stack, cluster, `${cluster}-1-0`, async (destination) => {
      const handle = await stack.client.workflow.start('rebalance', {
        taskQueue: WORKFLOW_TASK_QUEUE,
        workflowId: uniqueName('rebalance-'),
        args: [{ cluster, moves: [{ from: 0, to: 1, slots: `${slot}` }], strategy: 'pipelined', limits }],
      });
      await until('keys have come', async () => (await namesOn(destination, slot)).length > 1000, 60_000);
      const mendLink = await cutLink(cluster);
      const soon = await writtenOnceMore(cluster, slot, tag);
      const since = await until('those have come', async () => {
        const there = new Set(await namesOn(destination, slot));
        const come = soon.filter((name) => there.has(name));
        return come.length >= WRITTEN ? come.slice(0, WRITTEN) : undefined;
      });
      await writeHere(destination, since, 'new');
      await sleep(2000); // the destination's own replica has told that it has them
      const source = docker.getContainer(`${cluster}-0-0`);
      await source.kill({ signal: 'SIGKILL' });
      await mendLink(); // it is promoted in some seconds, and may follow somebody later
      setTimeout(() => void source.start().catch(() => undefined), 15_000);
      expect((await handle.result()) as OperationResult).toMatchObject({ outcome: 'done', moved: { slots: 1, ledger: { lost: 0 } } });
      await asApplication(stack, cluster, async (client) => {
        const values = await Promise.all(since.map((name) => client.get(name)));
        expect(values.filter((value) => value !== 'new')).toEqual([]);
      });
      expect(await namesOn(destination, slot)).toHaveLength(KEYS);
      expect(await toldApart(cluster)).toEqual(new Set(['written {b}']));
    });
    await until(
      'it is healthy',
      async () => (await ask<StatusReport>(stack, 'status', { cluster })).verdict === 'healthy' || undefined,
      60_000,
    );
  } finally {
    await sweep(docker, cluster);
  }
});
