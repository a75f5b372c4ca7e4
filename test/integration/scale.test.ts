import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MoveStrategy } from '../../config/migration.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { startLoad } from '../support/load-checker.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { findChanges, LIBRARY, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask, loginOf, onNode } from './ask.ts';

const everything = process.env.TEST_ALL === 'true';

const all: readonly { readonly engine: 'redis' | 'valkey'; readonly version: string; readonly strategy: MoveStrategy }[] = [
  { engine: 'redis', version: '7.0', strategy: 'auto' },
  { engine: 'valkey', version: '9.1', strategy: 'auto' },
  { engine: 'redis', version: '8.0', strategy: 'auto' },
  { engine: 'valkey', version: '8.1', strategy: 'auto' },
  { engine: 'valkey', version: '9.1', strategy: 'pipelined' },
];
const SAMPLE = 2;

let stack: Stack;
const names: string[] = [];

beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const healthy = async (cluster: string): Promise<StatusReport> => {
  const status = await ask<StatusReport>(stack, 'status', { cluster });
  expect(status).toMatchObject({ verdict: 'healthy', findings: [] });
  return status;
};

describe.each(everything ? all : all.slice(0, SAMPLE))('$engine $version, $strategy', ({ engine, version, strategy }) => {
  test(
    'grows to five shards and back, gets a second replica and gives it up, under load, and loses nothing',
    async () => {
      const cluster = uniqueName();
      names.push(cluster);
      await ask(stack, 'provision', {
        spec: testSpec(cluster, { engine, version, security: { tls: true, users: [{ name: 'app', rules: '~* &* +@all' }] } }),
      });
      for (const { nodes } of (await healthy(cluster)).shards) {
        const primary = nodes.find(({ role }) => role === 'primary')?.name ?? '';
        await onNode(stack, cluster, primary, (node) => node.call('FUNCTION', 'LOAD', LIBRARY));
      }
      await asApplication(stack, cluster, writeStaticData);
      const load = startLoad(await loginOf(stack, cluster));
      const changes = () => asApplication(stack, cluster, findChanges);
      const scale = (input: object) => ask<OperationResult>(stack, 'scale', { cluster, strategy, ...input });

      const out = await scale({ shards: 5 });
      expect(out).toMatchObject({ outcome: 'done', generation: 2, moved: { slots: 6553, slotsTotal: 6553, ledger: { lost: 0 } } });
      expect(out.moved?.strategy).toBe(engine === 'valkey' && version === '9.1' && strategy === 'auto' ? 'native' : 'pipelined');
      expect((await healthy(cluster)).shards.map(({ slotCount }) => slotCount).sort()).toEqual([3276, 3277, 3277, 3277, 3277]);
      expect(await changes()).toEqual([]);

      const back = await scale({ shards: 3 });
      expect(back).toMatchObject({ outcome: 'done', generation: 3 });
      expect((await healthy(cluster)).shards.map(({ slotCount }) => slotCount).sort()).toEqual([5461, 5461, 5462]);
      expect(await changes()).toEqual([]);

      expect(await scale({ replicasPerShard: 2 })).toMatchObject({ outcome: 'done', generation: 4 });
      expect((await healthy(cluster)).shards.map(({ nodes }) => nodes.length)).toEqual([3, 3, 3]);
      expect(await scale({ replicasPerShard: 1 })).toMatchObject({ outcome: 'done', generation: 5 });
      expect((await healthy(cluster)).shards.map(({ nodes }) => nodes.length)).toEqual([2, 2, 2]);
      expect(await changes()).toEqual([]);
      expect(await scale({ shards: 3, replicasPerShard: 1 })).toMatchObject({ outcome: 'unchanged' });

      const verdict = await load.stop();
      expect(verdict).toMatchObject({ lost: [], phantom: [] });
      expect(verdict.acknowledged).toBeGreaterThan(1000);
    },
    everything ? 400_000 : 300_000,
  );
});
