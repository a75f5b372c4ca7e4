import { Cluster } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type EngineVersion, engineCatalogue } from '../../config/engines.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { holdings, sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, onNode } from './ask.ts';

const everything = process.env.TEST_ALL === 'true';

type Combination = { readonly engine: EngineVersion; readonly mode: 'cluster' | 'sentinel'; readonly tls: boolean };

const all: readonly Combination[] = engineCatalogue.flatMap((engine) =>
  (['cluster', 'sentinel'] as const).flatMap((mode) => [true, false].map((tls) => ({ engine, mode, tls }))),
);
/** Each version once, both modes, TLS on in most. */
const sample = all.filter(({ engine, mode, tls }) => {
  const at = engineCatalogue.indexOf(engine);
  return mode === (at % 2 === 0 ? 'cluster' : 'sentinel') && tls === (at !== 2);
});
const title = ({ engine: { engine, version }, mode, tls }: Combination) => `${engine} ${version}, ${mode}, TLS ${tls ? 'on' : 'off'}`;

let stack: Stack;
const names: string[] = [];
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const status = (cluster: string) => ask<StatusReport>(stack, 'status', { cluster });

describe.each((everything ? all : sample).map((combination) => [title(combination), combination] as const))('%s', (_, combination) => {
  const { engine, mode, tls } = combination;

  test(
    'is made healthy, serves an application, and is removed without a trace',
    async () => {
      const name = uniqueName();
      names.push(name);
      const spec = testSpec(name, {
        engine: engine.engine,
        version: engine.version,
        mode,
        security: { tls, users: [{ name: 'app', rules: '~* &* +@all -@admin -@dangerous +cluster +info' }] },
      });
      const made = await ask<OperationResult>(stack, 'provision', { spec });
      expect(made.outcome).toBe('done');
      const report = await status(name);
      expect(report).toMatchObject({ verdict: 'healthy', findings: [] });
      for (const node of report.shards.flatMap((shard) => shard.nodes))
        expect(node.version).toMatch(new RegExp(`^${engine.version.replace('.', '\\.')}\\.`));

      const keys = Array.from({ length: 50 }, (_unused, i) => `key:${i}`);
      const values = await asApplication(
        stack,
        name,
        async (app) => {
          expect(app instanceof Cluster).toBe(mode === 'cluster');
          await Promise.all(keys.map((key) => app.set(key, `of ${key}`)));
          return Promise.all(keys.map((key) => app.get(key)));
        },
        { mode, tls },
      );
      expect(values).toEqual(keys.map((key) => `of ${key}`));

      if (mode === 'cluster')
        expect(await shardsAsServersSeeThem(name, tls)).toEqual(
          report.shards.map(({ nodes }) => nodes.map((node) => node.address).sort()).sort(),
        );
      if (everything) await loseAPrimary(name, { spec, mode, tls });
      expect((await ask<OperationResult>(stack, 'provision', { spec })).outcome).toBe('unchanged');

      await ask(stack, 'deprovision', { cluster: name, confirm: name });
      expect(await holdings(stack.dependencies.docker, name)).toEqual({ containers: [], volumes: [], networks: [] });
      expect(await stack.dependencies.store.list(`clusters/${name}/`)).toEqual([]);
    },
    everything ? 240_000 : 120_000,
  );
});

/** Addresses of each shard's nodes, by CLUSTER SHARDS: clients that use it must find replicas with their primary. */
async function shardsAsServersSeeThem(cluster: string, tls: boolean): Promise<readonly (readonly string[])[]> {
  type Reply = readonly (readonly [string, unknown, string, readonly (readonly unknown[])[]])[];
  const reply = (await onNode(stack, cluster, `${cluster}-0-0`, (node) => node.call('CLUSTER', 'SHARDS'), { tls })) as Reply;
  const addressOf = (node: readonly unknown[]) => String(node[node.indexOf('ip') + 1]);
  return reply.map(([, , , nodes]) => nodes.map(addressOf).sort()).sort();
}

/** Kills the container of a primary: a replica takes over, no key is lost, and provision brings the dead one back as a replica. */
async function loseAPrimary(
  name: string,
  { spec, mode, tls }: { readonly spec: ReturnType<typeof testSpec>; readonly mode: 'cluster' | 'sentinel'; readonly tls: boolean },
): Promise<void> {
  const victim = `${name}-0-0`;
  await stack.dependencies.docker.getContainer(victim).kill({ signal: 'SIGKILL' });
  const promoted = await until(
    'a replica is promoted',
    async () => (await status(name)).shards[0]?.nodes.find((node) => node.name !== victim && node.role === 'primary'),
    60_000,
  );
  expect(promoted.name).toBe(`${name}-0-1`);
  await until(
    'sentinels and nodes agree on it',
    () => asApplication(stack, name, (app) => app.set('after', 'failover'), { mode, tls }).catch(() => undefined),
    60_000,
  );
  const again = await ask<OperationResult>(stack, 'provision', { spec });
  expect(again.outcome).toBe('done');
  const after = await status(name);
  expect(after).toMatchObject({ verdict: 'healthy' });
  expect(after.shards[0]?.nodes.find((node) => node.name === victim)?.role).toBe('replica');
  expect(await asApplication(stack, name, (app) => app.get('key:7'), { mode, tls })).toBe('of key:7');
}
