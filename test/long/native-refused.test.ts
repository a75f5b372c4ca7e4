import { randomBytes } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import { nodeName, systemUsers } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import { asApplication, ask, onNode, refusal } from '../integration/ask.ts';
import { clusterNames, sweep, testSpec } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';

/** A Valkey that can move slots by itself and has the command forbidden: so it refuses, as a real server does. Its first shard has the slots 0 to 5460. */
const MIB = 1024 ** 2;
const clusters = clusterNames();
const cluster = clusters.named();
const nodes = [0, 1, 2].map((shard) => nodeName(cluster, shard, 0));
const [from = '', to = ''] = nodes;
let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec: testSpec(cluster, { engine: 'valkey', version: '9.1', resources: { memory: '256Mi' } }) });
  for (const node of nodes)
    await onNode(stack, cluster, node, (redis) => redis.call('ACL', 'SETUSER', systemUsers.operator, '-cluster|migrateslots'));
});
afterAll(async () => {
  for (const name of clusters.names) await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

/** A key of the first shard. */
function named(what: string): { readonly name: string; readonly slot: number } {
  for (let i = 0; ; i++) {
    const slot = calculateSlot(`${what}:${i}`);
    if (slot < 5000) return { name: `${what}:${i}`, slot };
  }
}

const write = (name: string, mib: number) =>
  asApplication(stack, cluster, async (app) => {
    const part = randomBytes(MIB);
    for (let i = mib - 1; i >= 0; i--) await app.setrange(name, i * MIB, part);
  });
const unlink = (name: string) => onNode(stack, cluster, from, (redis) => redis.unlink(name));
const move = (slot: number, more = {}) =>
  ask<OperationResult>(stack, 'rebalance', { cluster, moves: [{ from: 0, to: 1, slots: String(slot) }], ...more });
const openSlots = (node: string) =>
  onNode(stack, cluster, node, async (redis) => String(await redis.call('CLUSTER', 'NODES')).match(/\[\d+-[<>]-/g) ?? []);
async function restarts(): Promise<number> {
  const all = await Promise.all(nodes.map((node) => stack.dependencies.docker.getContainer(node).inspect()));
  return all.reduce((sum, { RestartCount }) => sum + RestartCount, 0);
}

test('a server that refuses is followed by MIGRATE, but for keys with which a pipelined plan is refused', {
  timeout: 120_000,
}, async () => {
  const [large, fatal] = [named('large'), named('fatal')];
  await write(large.name, 2);
  const limits = { maxKeyBytes: MIB };
  expect(await refusal(move(large.slot, { limits }))).toMatchObject({
    type: failures.refused,
    message: expect.stringMatching(/refuse to move slots by themselves \(NOPERM.*large:\d+ \(slot \d+, [23] MiB\)/s),
  });
  expect(await openSlots(from)).toEqual([]);

  await write(fatal.name, 75);
  expect(await refusal(move(fatal.slot, { bigKeys: 'move' }))).toMatchObject({
    type: failures.refused,
    message: expect.stringMatching(/fatal:\d+ \(slot \d+\) has 7\d MiB, and shard 1 holds it 5 times/),
  });
  expect([await openSlots(from), await restarts()]).toEqual([[], 0]);
  await unlink(fatal.name);

  expect(await move(large.slot, { limits, bigKeys: 'move' })).toMatchObject({
    outcome: 'done',
    moved: { strategy: 'pipelined', slots: 1 },
  });
  await onNode(stack, cluster, to, async (redis) => expect(await redis.strlen(large.name)).toBe(2 * MIB));
  expect(await refusal(move(fatal.slot, { strategy: 'native' }))).toMatchObject({
    type: failures.migrationFailed,
    message: expect.stringContaining('NOPERM'),
  });
});

test('repair leaves a slot open whose key no container has room for, names it, and closes it without the key', {
  timeout: 120_000,
}, async () => {
  const key = named('stuck');
  await write(key.name, 75);
  const [first, second] = await Promise.all(
    [from, to].map((node) => onNode(stack, cluster, node, async (redis) => String(await redis.call('CLUSTER', 'MYID')))),
  );
  await onNode(stack, cluster, to, (redis) => redis.call('CLUSTER', 'SETSLOT', key.slot, 'IMPORTING', first ?? ''));
  await onNode(stack, cluster, from, (redis) => redis.call('CLUSTER', 'SETSLOT', key.slot, 'MIGRATING', second ?? ''));
  expect(await refusal(ask(stack, 'repair', { cluster }))).toMatchObject({
    type: failures.slotConflict,
    message: expect.stringMatching(new RegExp(`slot ${key.slot}: its key ${key.name} has 7\\d MiB, and ${to} holds it 5 times`)),
  });
  expect(await openSlots(from)).toHaveLength(1);
  expect(await restarts()).toBe(0);
  await unlink(key.name);
  expect(await ask(stack, 'repair', { cluster })).toMatchObject({ outcome: 'done' });
  expect(await openSlots(from)).toEqual([]);
});
