import { randomBytes } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { engineCatalogue } from '../../config/engines.ts';
import { nodeName, ports, systemUsers } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { asApplication, ask, onNode, refusal } from '../integration/ask.ts';
import { clusterNames, sweep, testSpec } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';

/** `npm run test:matrix`: keys near what a container of 256 MiB can take: five times their size, with what is there. */
const MIB = 1024 ** 2;
const [FITS, TOO_LARGE, FATAL] = [38, 52, 75];
let stack: Stack;
const clusters = clusterNames();
beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of clusters.names) await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

describe.each([...engineCatalogue])('$engine $version', ({ engine, version }) => {
  const cluster = clusters.named();

  test('a key that fits moves and nobody is killed, one that does not is refused, and would have had a server killed', async () => {
    await ask(stack, 'provision', { spec: testSpec(cluster, { engine, version, resources: { memory: '256Mi' } }) });
    const { shards } = await ask<StatusReport>(stack, 'status', { cluster });
    const [from = '', to = ''] = [nodeName(cluster, 0, 0), nodeName(cluster, 1, 0)];
    const [low = 0] = shards[0]?.slots[0]?.split('-').map(Number) ?? [];
    /** A key of the first shard. */
    const named = (what: string): { readonly name: string; readonly slot: number } => {
      for (let i = 0; ; i++) {
        const slot = calculateSlot(`${what}:${i}`);
        if (slot >= low && slot < low + 5000) return { name: `${what}:${i}`, slot };
      }
    };
    const write = (name: string, mib: number) =>
      asApplication(stack, cluster, async (app) => {
        const part = randomBytes(MIB);
        for (let i = mib - 1; i >= 0; i--) await app.setrange(name, i * MIB, part);
      });
    const move = (slot: number) =>
      ask<OperationResult>(stack, 'rebalance', {
        cluster,
        moves: [{ from: 0, to: 1, slots: String(slot) }],
        strategy: 'pipelined',
        limits: { stallMs: 10_000 },
      });
    const nodes = shards.flatMap((shard) => shard.nodes.map(({ name }) => name));
    const restarts = async () => {
      const all = await Promise.all(nodes.map((node) => stack.dependencies.docker.getContainer(node).inspect()));
      return all.reduce((sum, { RestartCount }) => sum + RestartCount, 0);
    };

    const fits = named('fits');
    await write(fits.name, FITS);
    expect(await move(fits.slot)).toMatchObject({ outcome: 'done' });
    await onNode(stack, cluster, to, async (redis) => expect(await redis.strlen(fits.name)).toBe(FITS * MIB));
    expect(await restarts()).toBe(0);
    await onNode(stack, cluster, to, (redis) => redis.unlink(fits.name));

    const large = named('large');
    await write(large.name, TOO_LARGE);
    expect((await refusal(move(large.slot))).message).toMatch(/large:\d+ \(slot \d+\) has 5\d MiB, and shard 1 holds it 5 times/);
    await onNode(stack, cluster, from, (redis) => redis.unlink(large.name));

    const fatal = named('fatal');
    await write(fatal.name, FATAL);
    expect(await restarts()).toBe(0);
    const { system } = await stack.dependencies.secrets.require(cluster);
    const address = shards[1]?.nodes[0]?.address ?? '';
    const [first, second] = await Promise.all(
      [from, to].map((node) => onNode(stack, cluster, node, async (redis) => String(await redis.call('CLUSTER', 'MYID')))),
    );
    await onNode(stack, cluster, to, (redis) => redis.call('CLUSTER', 'SETSLOT', fatal.slot, 'IMPORTING', first ?? ''));
    await onNode(stack, cluster, from, (redis) => redis.call('CLUSTER', 'SETSLOT', fatal.slot, 'MIGRATING', second ?? ''));
    const auth = ['AUTH2', systemUsers.operator, system.operator];
    await onNode(stack, cluster, from, (redis) =>
      redis.call('MIGRATE', address, ports.server, '', 0, 20_000, ...auth, 'KEYS', fatal.name),
    ).catch(() => undefined);
    await until('a server was killed', async () => (await restarts()) > 0, 10_000);
  });
});
