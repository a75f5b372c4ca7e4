import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import { nodeName } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { fillSlots, keyIn, keysNow, onEachNode, slotsNow, slotsWithChanges, sum } from '../support/steering.ts';
import { ask, refusal } from './ask.ts';

/** One cluster whose first shard has nearly all keys, and then nearly all bytes; the tests follow one another. */
let stack: Stack;
const cluster = uniqueName('balance');
const nodes = [0, 1, 2].map((shard) => nodeName(cluster, shard, 0));
const subject = () => ({ stack, cluster });
const spec = testSpec(cluster, { engine: 'redis', version: '7.0', replicasPerShard: 0 });

/** Slots that the first shard has at the beginning. */
const CROWDED = Array.from({ length: 500 }, (_, slot) => slot * 10);
const SPARSE = Array.from({ length: 1000 }, (_, slot) => 5500 + slot * 10);
const [MANY, FEW] = [60, 2];
const SMALL_KEYS = CROWDED.length * MANY + SPARSE.length * FEW;
/** As `rebalance` has it when nobody says otherwise. */
const THRESHOLD = 0.02;
const MIB = 1024 ** 2;

beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec });
  await fillSlots(subject(), CROWDED, MANY);
  await fillSlots(subject(), SPARSE, FEW);
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack.stop();
});

const rebalance = (more: object = {}) => ask<OperationResult>(stack, 'rebalance', { cluster, ...more });
const scale = (memory: string) => ask<OperationResult>(stack, 'scale', { cluster, resources: { memory } });
const status = () => ask<StatusReport>(stack, 'status', { cluster });

/** Every key that was written is there, once, and nothing else. */
async function expectEveryKey(more = 0): Promise<void> {
  expect(await slotsWithChanges(subject(), CROWDED, MANY)).toBe('');
  expect(await slotsWithChanges(subject(), SPARSE, FEW)).toBe('');
  expect(sum((await keysNow(subject())).values())).toBe(SMALL_KEYS + more);
  const { open, wrong } = await slotsNow(subject());
  expect({ open, wrong }).toEqual({ open: [], wrong: '' });
  expect(await status()).toMatchObject({ verdict: 'healthy', findings: [] });
}

/** What each primary has, in order of the shards. */
const inOrder = (values: ReadonlyMap<string, number>): readonly number[] => nodes.map((node) => values.get(node) ?? Number.NaN);

/** How far the shard that is off most is off an even share, as a part of it. */
function furthestOff(values: readonly number[]): number {
  const share = sum(values) / values.length;
  return Math.max(...values.map((value) => Math.abs(value - share))) / share;
}

/** The bytes of every key, as the server tells of each. */
async function bytesNow(): Promise<ReadonlyMap<string, number>> {
  return new Map(
    await onEachNode(subject(), async (wire, node) => {
      const names = await wire.one('KEYS', '*');
      const sizes = await wire.ask((Array.isArray(names) ? names : []).map((name) => ['MEMORY', 'USAGE', String(name)]));
      return [node, sum(sizes.map(Number))] as const;
    }),
  );
}

/** A value of so many bytes into each of some slots, whoever has them. */
async function writeLarge(slots: readonly number[], bytes: number): Promise<void> {
  const { of } = await slotsNow(subject());
  await onEachNode(subject(), async (wire, node) => {
    const own = new Set(of.get(node));
    for (const slot of slots) if (own.has(slot)) await wire.one('SET', keyIn(slot, 'large'), largeValue(slot, bytes));
  });
}

const largeValue = (slot: number, bytes: number): string => `${slot} `.padEnd(bytes, 'x');

/** Slots whose large value is gone or changed. */
async function largeChanges(slots: readonly number[], bytes: number): Promise<readonly number[]> {
  const { of } = await slotsNow(subject());
  const same = await onEachNode(subject(), async (wire, node) => {
    const own = new Set(of.get(node));
    const found: number[] = [];
    for (const slot of slots)
      if (own.has(slot) && String(await wire.one('GET', keyIn(slot, 'large'))) === largeValue(slot, bytes)) found.push(slot);
    return found;
  });
  const there = new Set(same.flat());
  return slots.filter((slot) => !there.has(slot));
}

/** Slots for large values, and their size: nearly all bytes of the cluster. */
const LARGE_SLOTS = Array.from({ length: 200 }, (_, slot) => slot * 10 + 3);
const LARGE = 100_000;

describe('rebalance', () => {
  test('by keys gives each primary as many keys as the others, and moves them from the one that has too many', async () => {
    const before = inOrder(await keysNow(subject()));
    expect(furthestOff(before)).toBeGreaterThan(1);
    const result = await rebalance({ by: 'keys' });
    expect(result).toMatchObject({ outcome: 'done', moved: { ledger: { lost: 0 } } });
    expect(result.plan.moves?.map(({ from, to }) => [from, to])).toEqual([
      [0, 1],
      [0, 2],
    ]);
    const after = inOrder(await keysNow(subject()));
    expect(furthestOff(after), `${before} -> ${after}`).toBeLessThanOrEqual(THRESHOLD);
    await expectEveryKey();
    expect(await rebalance({ by: 'keys' })).toMatchObject({ outcome: 'unchanged' });
  });

  test('by memory gives each primary as many bytes as the others', async () => {
    const owner = inOrder(await keysNow(subject()));
    const { of } = await slotsNow(subject());
    const own = new Set(of.get(nodes[0] ?? ''));
    const slots = LARGE_SLOTS.filter((slot) => own.has(slot));
    expect(slots.length, `keys: ${owner}`).toBeGreaterThan(100); // few enough of them have moved
    await writeLarge(slots, LARGE);
    const before = inOrder(await bytesNow());
    expect(furthestOff(before)).toBeGreaterThan(1);
    const result = await rebalance({ by: 'memory' });
    expect(result).toMatchObject({ outcome: 'done', moved: { ledger: { lost: 0 } } });
    const after = inOrder(await bytesNow());
    expect(furthestOff(after), `${before} -> ${after}`).toBeLessThanOrEqual(THRESHOLD);
    expect(await largeChanges(slots, LARGE)).toEqual([]);
    await expectEveryKey(slots.length);
    expect(await rebalance({ by: 'memory' })).toMatchObject({ outcome: 'unchanged' });
    await onEachNode(subject(), async (wire) => {
      const names = await wire.one('KEYS', '*:large');
      for (const name of Array.isArray(names) ? names : []) await wire.one('DEL', String(name));
    });
  });
});

describe('scale of the memory', () => {
  /** Of every node: the limit of its container, since when it runs, and its maxmemory. */
  async function limitsNow() {
    const limits = await onEachNode(subject(), async (wire, node) => {
      const { HostConfig, State } = await stack.dependencies.docker.getContainer(node).inspect();
      const reply = await wire.one('CONFIG', 'GET', 'maxmemory');
      return { node, memory: HostConfig.Memory, since: State.StartedAt, maxmemory: Number(String(reply).split(',')[1]) };
    });
    return limits;
  }
  /** A slot that each shard has, and values for it that only the larger memory holds. */
  const heavy = Array.from({ length: 14 }, (_, i) => i);
  const [HEAVY, heavySlots] = [4 * MIB, () => heavy.map((i) => 5461 - 1 - i * 7)];

  test('up gives containers and servers more while they run, and keeps every key', async () => {
    const before = await limitsNow();
    expect(before.map(({ memory, maxmemory }) => [memory, maxmemory])).toEqual(nodes.map(() => [128 * MIB, 96 * MIB]));
    expect(await scale('256Mi')).toMatchObject({ outcome: 'done', generation: 2 });
    expect(await limitsNow()).toEqual(before.map((one) => ({ ...one, memory: 256 * MIB, maxmemory: 192 * MIB })));
    expect((await status()).spec?.resources.memory).toBe('256Mi');
    await expectEveryKey();
  });

  test('down below what a node holds is refused, and nothing is changed', async () => {
    await writeLarge(heavySlots(), HEAVY);
    const before = await limitsNow();
    expect(await refusal(scale('64Mi'))).toMatchObject({
      type: failures.refused,
      message: expect.stringMatching(/balance\w+-\d-0 uses \d+ MiB, more than the new maxmemory of 48 MiB: keep more memory/),
    });
    expect(await limitsNow()).toEqual(before);
    expect(await status()).toMatchObject({ generation: 2, spec: { resources: { memory: '256Mi' } } });
    expect(await largeChanges(heavySlots(), HEAVY)).toEqual([]);
    await expectEveryKey(heavy.length);
  });

  test('down to what still holds everything takes it back, and keeps every key', async () => {
    const before = await limitsNow();
    expect(await scale('128Mi')).toMatchObject({ outcome: 'done', generation: 3 });
    expect(await limitsNow()).toEqual(before.map((one) => ({ ...one, memory: 128 * MIB, maxmemory: 96 * MIB })));
    expect(await largeChanges(heavySlots(), HEAVY)).toEqual([]);
    await expectEveryKey(heavy.length);
  });
});
