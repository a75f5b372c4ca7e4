import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import type { MoveProgress } from '../../config/migration.ts';
import type { OperationInput } from '../../config/operations.ts';
import type { StatusReport } from '../../config/status.ts';
import { formatRanges, toRanges } from '../../model/migration/moves.ts';
import { Holdfast, type OperationHandle } from '../../starter/client/index.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import {
  fillSlots,
  keyIn,
  keysNow,
  onEachNode,
  probeKeysNow,
  type SlotsNow,
  slotsNow,
  slotsWithChanges,
  sum,
} from '../support/steering.ts';
import { ask, refusal } from './ask.ts';

/** One cluster whose keys lie in a third of its slots. Each test moves these to the shard that has the fewest of them. */
let stack: Stack;
let holdfast: Holdfast;
const cluster = uniqueName('steer');
const FILLED = Array.from({ length: 5461 }, (_, slot) => slot);
const KEYS_A_SLOT = 25;
const KEYS = FILLED.length * KEYS_A_SLOT;
const spec = testSpec(cluster, { engine: 'redis', version: '7.0', replicasPerShard: 0, resources: { memory: '256Mi' } });
const nodes = [0, 1, 2].map((shard) => `${cluster}-${shard}-0`);

beforeAll(async () => {
  stack = await startStack();
  holdfast = new Holdfast(stack.client);
  await ask(stack, 'provision', { spec });
  await fillSlots({ stack, cluster }, FILLED, KEYS_A_SLOT);
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack.stop();
});

const slots = () => slotsNow({ stack, cluster });
const container = (shard: number) => stack.dependencies.docker.getContainer(nodes[shard] ?? '');
const filledOf = (now: SlotsNow, shard: number) => (now.of.get(nodes[shard] ?? '') ?? []).filter((slot) => slot < FILLED.length);

/** For what is not to be seen: this machine may be busy. */
const quick = { probeP99Ms: 1000, stallMs: 60_000, slotsAtOnce: 1024 };

/** Everything that was written is there once, in slots that each have one owner and are not open, and nothing else is there. */
async function expectWhole(keys = KEYS, probes: 'gone' | 'may be left' = 'gone'): Promise<void> {
  const now = await slots();
  expect(now.open).toEqual([]);
  expect(now.wrong).toBe('');
  expect(await slotsWithChanges({ stack, cluster }, FILLED, KEYS_A_SLOT)).toBe('');
  expect(sum((await keysNow({ stack, cluster })).values())).toBe(keys);
  if (probes === 'gone') expect(await probeKeysNow({ stack, cluster })).toEqual([]);
  const { verdict, findings } = await ask<StatusReport>(stack, 'status', { cluster });
  // A shard may have given all that it had.
  expect({ verdict, findings: findings.filter(({ code }) => code !== 'empty-primary') }).toEqual({ verdict: 'healthy', findings: [] });
}

/** Moves all filled slots to the shard that has the fewest of them. */
async function toEmptiest() {
  const now = await slots();
  const have = nodes.map((_, shard) => filledOf(now, shard));
  const fewest = Math.min(...have.map(({ length }) => length));
  const to = have.findIndex(({ length }) => length === fewest);
  const givers = have.map((mine, shard) => ({ shard, mine })).filter(({ shard, mine }) => shard !== to && mine.length > 0);
  const from = givers.toSorted((a, b) => b.mine.length - a.mine.length)[0]?.shard ?? -1;
  const moves = givers.map(({ shard, mine }) => ({ from: shard, to, slots: formatRanges(toRanges(mine)) }));
  return { from, to, moves, total: FILLED.length - fewest, before: fewest };
}

/** Starts a rebalance, which is ended with its test: one that fails shall not keep the cluster from the others. */
async function begin(input: Omit<OperationInput<'rebalance'>, 'cluster'>): Promise<OperationHandle> {
  const handle = await holdfast.rebalance.start({ cluster, ...input });
  onTestFinished(async () => {
    await handle.cancel().catch(() => undefined); // it has ended, as it should
    await handle.result().catch(() => undefined); // the test has seen how
  });
  return handle;
}

const moveOf = async (handle: OperationHandle): Promise<MoveProgress | undefined> =>
  (await handle.progress()).steps.find(({ name }) => name === 'move slots')?.move;

/** Waits until the shard that takes has got some of them, and there are more to come. */
const halfWay = (to: number, { before, total }: { readonly before: number; readonly total: number }) =>
  until(
    'some slots have moved',
    async () => {
      const moved = filledOf(await slots(), to).length - before;
      if (moved === total) throw new Error('it was over before anything could happen to it');
      return moved > total / 20 ? moved : undefined;
    },
    60_000,
  );

test('a move that is cancelled at the default limits stops half way, with no slot open, and says how far it came', async () => {
  const plan = await toEmptiest();
  const handle = await begin({ moves: plan.moves });
  await halfWay(plan.to, plan);
  const start = Date.now();
  await handle.cancel();
  const error = await handle.result().then(
    () => undefined,
    (problem: unknown) => problem,
  );
  const tookMs = Date.now() - start;
  expect(error).toMatchObject({ name: 'OperationFailed', type: 'Cancelled' });
  expect(tookMs).toBeLessThan(30_000);
  const moved = filledOf(await slots(), plan.to).length - plan.before;
  process.stdout.write(`  cancelled after ${moved} of ${plan.total} slots; it took ${tookMs} ms to end\n`);
  expect(moved).toBeLessThan(plan.total);
  const told = `${moved} of ${plan.total} slots have moved, with ${moved * KEYS_A_SLOT} keys; they stay where they are, and no slot is open`;
  expect((await holdfast.journal(cluster)).at(-1)).toMatchObject({
    operation: 'rebalance',
    outcome: 'cancelled',
    summary: expect.stringContaining(told),
  });
  expect((await handle.progress()).steps).toMatchObject([{ name: 'move slots', state: 'failed', note: expect.stringContaining(told) }]);
  await expectWhole();
});

test('a move that is paused has no slot open and moves none until it is resumed', async () => {
  const plan = await toEmptiest();
  const handle = await begin({ moves: plan.moves });
  await halfWay(plan.to, plan);
  await handle.pause();
  await until('it stands', async () => {
    const { raw } = await stack.client.workflow.getHandle(handle.workflowId).describe();
    return (raw.pendingActivities ?? []).length === 0;
  });
  const before = await slots();
  expect(before.open).toEqual([]);
  expect(before.wrong).toBe('');
  const moved = filledOf(before, plan.to).length - plan.before;
  expect(moved).toBeLessThan(plan.total);
  expect(sum((await keysNow({ stack, cluster })).values())).toBe(KEYS);
  for (let look = 0; look < 10; look++) {
    await sleep(STILL_MS / 10); // that nothing happens takes a while to see
    expect(await slots()).toEqual(before);
  }
  expect(await moveOf(handle)).toMatchObject({ state: 'held', why: 'paused', slotsTotal: plan.total });
  await handle.setLimits(quick);
  await handle.resume();
  expect(await handle.result()).toMatchObject({
    outcome: 'done',
    moved: { slots: plan.total, slotsTotal: plan.total, ledger: { lost: 0 } },
  });
  expect(filledOf(await slots(), plan.to)).toHaveLength(FILLED.length);
  await expectWhole();
});

/** A move takes some hundred slots in this time. */
const STILL_MS = 2000;
const STALL_MS = 500;
/** So few that a group is soon finished. */
const SLOTS_AT_ONCE = 32;
/** Longer than stallMs, and much shorter than a node may be silent before the others take it for dead. */
const FROZEN_MS = 2000;

test('a move is held while a node does not answer for longer than stallMs, and goes on by itself when it is calm again', async () => {
  const plan = await toEmptiest();
  const handle = await begin({ moves: plan.moves, limits: { stallMs: STALL_MS, slotsAtOnce: SLOTS_AT_ONCE } });
  await halfWay(plan.to, plan);
  await container(plan.from).pause();
  try {
    await sleep(FROZEN_MS);
  } finally {
    await container(plan.from).unpause();
  }
  const held = await until('it is held', async () => {
    const move = await moveOf(handle);
    const waited = Number(/^the probe waited (\d+) ms for an answer, more than stallMs \(500\)$/.exec(move?.why ?? '')?.[1] ?? 0);
    return move?.state === 'held' && waited >= FROZEN_MS / 2 ? move : undefined;
  });
  let last = held.slots;
  await until(
    'it is held no more',
    async () => {
      const move = await moveOf(handle);
      if (move?.state !== 'held') return true;
      last = move.slots;
      return undefined;
    },
    60_000,
  );
  // What was open has been finished.
  expect(last - held.slots).toBeLessThanOrEqual(plan.moves.length * SLOTS_AT_ONCE * 3);
  expect(held.slots).toBeLessThan(plan.total);
  await until('it goes on', async () => ((await moveOf(handle))?.slots ?? 0) > held.slots, 60_000);
  await handle.setLimits(quick);
  const result = await handle.result();
  expect(result).toMatchObject({ outcome: 'done', moved: { slots: plan.total, ledger: { lost: 0 } } });
  expect(result.moved?.heldMs).toBeGreaterThan(3000);
  await expectWhole();
});

test('a key above maxKeyBytes is named and nothing moves; when it may move, it arrives as it was', async () => {
  const now = await slots();
  const from = nodes.findIndex((_, shard) => filledOf(now, shard).includes(7));
  const to = (from + 1) % 3;
  const [key, value] = [keyIn(7, 'large'), 'x'.repeat(4 * 1024 ** 2)];
  const onOwner = (...command: readonly string[]) =>
    onEachNode({ stack, cluster }, async (wire, node) => (now.of.get(node)?.includes(7) ? String(await wire.one(...command)) : undefined));
  await onOwner('SET', key, value);
  const input = { cluster, moves: [{ from, to, slots: '0-99' }], limits: { maxKeyBytes: 1024 ** 2 } };
  const named = `a key above limits.maxKeyBytes (1 MiB) would stall a shard while it moves: ${key} (slot 7, `;
  const planned = await holdfast.rebalance.execute({ ...input, dryRun: true });
  expect(planned.plan.refusals).toEqual([expect.stringContaining(named)]);
  expect(await refusal(holdfast.rebalance.execute(input))).toMatchObject({
    type: failures.refused,
    message: expect.stringContaining(named),
  });
  expect(await slots()).toEqual(now);
  await expectWhole(KEYS + 1);
  const result = await holdfast.rebalance.execute({ ...input, bigKeys: 'move', limits: { ...input.limits, ...quick } });
  expect(result).toMatchObject({ outcome: 'done', moved: { slots: 100, ledger: { lost: 0 } } });
  const after = await slots();
  expect(filledOf(after, to)).toEqual(expect.arrayContaining(Array.from({ length: 100 }, (_, slot) => slot)));
  const found = await onEachNode({ stack, cluster }, async (wire, node) =>
    after.of.get(node)?.includes(7) ? String(await wire.one('GET', key)) : 'elsewhere',
  );
  expect(found.map((one) => (one === value ? 'as it was' : one.slice(0, 100))).sort()).toEqual(['as it was', 'elsewhere', 'elsewhere']);
  await expectWhole(KEYS + 1);
  await onEachNode({ stack, cluster }, async (wire, node) => (after.of.get(node)?.includes(7) ? wire.one('DEL', key) : undefined));
});

const AWAY_MS = 3000;

test.each(['source', 'destination'] as const)(
  'a move ends when its %s is away for longer than nodeAwayMs, says what to do, and that brings every key to its place',
  async (victim) => {
    // What a server has answered is on disk then.
    await ask(stack, 'configure', { spec: { ...spec, persistence: { fsync: 'always' } } });
    const now = await slots();
    const have = nodes.map((_, shard) => filledOf(now, shard).length);
    const from = have.indexOf(Math.max(...have));
    const [to = -1] = [0, 1, 2].filter((shard) => shard !== from);
    // The same input moves the next slots when it is given again.
    const input = {
      by: 'keys' as const,
      weights: { [from]: 0 },
      maxMoves: 1500,
      limits: { ...quick, slotsAtOnce: 64, nodeAwayMs: AWAY_MS },
    };
    const handle = await begin(input);
    await until(
      'some slots have moved',
      async () => {
        const gone = (have[from] ?? 0) - filledOf(await slots(), from).length;
        if (gone === input.maxMoves) throw new Error('it was over before anything could happen to it');
        return gone > 0 || undefined;
      },
      60_000,
    );
    await container(victim === 'source' ? from : to).kill({ signal: 'SIGKILL' });
    const failure = await refusal(handle.result());
    expect(failure.type).toBe(failures.nodeAway);
    expect(failure.message).toContain(`nodeAwayMs (${AWAY_MS} ms)`);
    expect(failure.message).toContain(`holdfast status ${cluster}`);
    expect(failure.message).toMatch(new RegExp(`holdfast repair ${cluster}\\b.*the same operation again`));
    expect((await slots()).of.size).toBe(2);

    await container(victim === 'source' ? from : to).start();
    await until(
      'the nodes are back',
      async () =>
        (await ask<StatusReport>(stack, 'status', { cluster })).findings.every(
          ({ code }) => code === 'slots-open' || code === 'empty-primary',
        ),
      60_000,
    );
    const repaired = await holdfast.repair.execute({ cluster });
    expect(['done', 'unchanged']).toContain(repaired.outcome);
    await expectWholeAfterRepair();
    const left = filledOf(await slots(), from).length;
    const { outcome, moved } = await holdfast.rebalance.execute({ cluster, ...input, limits: quick });
    expect({ outcome, lost: moved?.ledger.lost, slots: moved?.slots }).toEqual({ outcome: 'done', lost: 0, slots: moved?.slotsTotal });
    expect(filledOf(await slots(), from).length).toBe(Math.max(0, left - input.maxMoves));
    await expectWhole(KEYS, 'may be left'); // nobody could remove them at a node that is away; they expire
  },
);

async function expectWholeAfterRepair(): Promise<void> {
  const { open, wrong } = await slots();
  expect({ open, wrong }).toEqual({ open: [], wrong: '' });
  expect(await slotsWithChanges({ stack, cluster }, FILLED, KEYS_A_SLOT)).toBe('');
}
