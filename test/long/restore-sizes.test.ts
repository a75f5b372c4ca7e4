import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { nodeName } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { asApplication, ask, onNode, refusal } from '../integration/ask.ts';
import { contentsOfNode } from '../integration/node-data.ts';
import { clusterNames, sweep, testSpec } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';

const SMALL_KEYS = 1_000_000;
const PART_BYTES = 10 * 1024 ** 2;
const BIG_PARTS = 30;
const SHARDS = [0, 1, 2];

let stack: Stack;
const { names, named } = clusterNames();
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);

test.each([
  { engine: 'valkey', version: '9.1' },
  { engine: 'redis', version: '7.0' },
  { engine: 'redis', version: '8.0' },
  { engine: 'valkey', version: '8.1' },
] as const)(
  'a key of 300 MB, a million small ones and a shard without slots come back, as they were and among other shards, on $engine $version',
  async (kind) => {
    const cluster = named();
    const spec = clusterSpec.parse(testSpec(cluster, { ...kind, replicasPerShard: 0, resources: { memory: '1Gi' } }));
    await run('provision', { spec });
    await run('rebalance', { cluster, weights: { 1: 0 } });
    const parts = Array.from({ length: BIG_PARTS }, () => randomBytes(PART_BYTES));
    await asApplication(stack, cluster, async (app) => {
      // From its end: it gets its whole room at once, and none that it has outgrown counts against the container until the allocator gives it back.
      for (const [i, part] of [...parts.entries()].toReversed()) await app.setrange('big', i * PART_BYTES, part);
      for (let at = 0; at < SMALL_KEYS; at += 20_000)
        await Promise.all(
          Array.from({ length: 20 }, (_, tag) =>
            app.mset(new Map(Array.from({ length: 1000 }, (__, n) => [`{${(at / 20_000) * 20 + tag}}:${n}`, `value ${at + n}`]))),
          ),
        );
    });
    const big = parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');
    const { backup } = await run('backup', { cluster, fromPrimary: true });
    const held = await Promise.all(SHARDS.map((shard) => contentsOfNode(stack, spec, nodeName(cluster, shard, 0))));
    expect(held.map(({ keys }) => keys > 0)).toEqual([true, false, true]);
    expect(held.reduce((sum, { keys }) => sum + keys, 0)).toBe(SMALL_KEYS + 1);
    await run('deprovision', { cluster, confirm: cluster });

    const narrow = await refusal(
      ask(stack, 'restore', { cluster, backup: backup?.id, into: named(), include: ['*'], changes: { shards: 4 } }),
    );
    expect(narrow.message).toMatch(
      /the key big has 3\d\d MiB, and \S+ holds it 5 times for a moment: \d+ MiB with the rest, of 1024 MiB. Give nodes more memory/,
    );
    for (const changes of [{}, { shards: 4 }]) {
      const into = named();
      const { restored, tookMs } = await run('restore', { cluster, backup: backup?.id, into, changes });
      process.stdout.write(`${restored?.keys} keys into ${JSON.stringify(changes)} after ${restored?.loadedMs} ms, ${tookMs} ms in all\n`);
      const { verdict, shards } = await ask<StatusReport>(stack, 'status', { cluster: into });
      expect(verdict).toBe('healthy');
      expect(shards.reduce((sum, { keys = 0 }) => sum + keys, 0)).toBe(SMALL_KEYS + 1);
      if (shards.length === SHARDS.length) {
        expect(await Promise.all(SHARDS.map((shard) => contentsOfNode(stack, spec, nodeName(into, shard, 0), into)))).toEqual(held);
        await onNode(stack, into, nodeName(into, 1, 0), async (redis) => expect(await redis.dbsize()).toBe(0));
      }
      await asApplication(stack, into, async (app) => {
        expect(
          createHash('sha256')
            .update((await app.getBuffer('big')) ?? '')
            .digest('hex'),
        ).toBe(big);
      });
      await run('deprovision', { cluster: into, confirm: into });
    }
  },
);
