import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Progress } from '../../config/progress.ts';
import { operationHandlers } from '../../config/progress.ts';
import {
  beginStack,
  endStacks,
  onCluster,
  prepared,
  resultOf,
  runWell,
  type Subject,
  start,
  stopWorkers,
  whileRuns,
  worker,
} from '../support/crash-harness.ts';
import { expectRemains, type Remains } from '../support/crash-remains.ts';
import { keysOn, laggingScaleOut, nativeScaleOut, slotsOn, slowScaleOut, waitingScaleOut } from '../support/crash-scaling.ts';
import { all } from '../support/crash-suite.ts';
import { until } from '../support/processes.ts';
import type { Stack } from '../support/stack.ts';

/** Who dies in the middle. A killed node comes back after its replica has taken over, as it does when somebody starts it again. */
const victims = ['worker', 'source', 'destination', 'Temporal'] as const;
type Victim = (typeof victims)[number];
/** A normal run has the two tests below instead: each a known moment. */
const SEEDS = all ? Array.from({ length: 20 }, (_, i) => i + 1) : [];
/** Moments lie between the first slot that has moved and this share of all. */
const LATEST = 0.9;

let stack: Stack;
let remains: Remains;

beforeAll(async () => {
  stack = await beginStack();
  if (all) ({ remains } = await runWell(stack, slowScaleOut));
}, 300_000); // as long as one of the moves
afterAll(endStacks);

/** The same moment for the same seed. */
function momentOf(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43_758.5453;
  return (x - Math.floor(x)) * LATEST;
}

async function disturb(subject: Subject, victim: Victim): Promise<void> {
  const { cluster } = subject;
  const { docker } = stack.dependencies;
  if (victim === 'Temporal') await stack.restartTemporal();
  if (victim === 'source' || victim === 'destination') {
    const container = docker.getContainer(`${cluster}-${victim === 'source' ? 0 : 3}-0`);
    await container.kill({ signal: 'SIGKILL' });
    setTimeout(() => void container.start().catch(() => undefined), 15_000);
  }
  if (victim === 'worker') await stopWorkers(stack);
}

const stepsOf = async (handle: WorkflowHandle): Promise<Progress['steps']> =>
  (await handle.query<Progress>(operationHandlers.progress).catch(() => ({ steps: [] }))).steps;

/** Less than the time after which a node counts as failed. */
const FROZEN_MS = 1500;

/** What scaling out from three to four shards moves. */
const SLOTS = 4096;

/** Waits until so much of all slots has moved, by the word of the shard that gets them: the move itself tells once a second. @returns the share that has */
const movedAtLeast = (subject: Subject, handle: WorkflowHandle, moment: number): Promise<number> =>
  until(
    `${Math.round(moment * 100)} % have moved`,
    async () => {
      const share = (await slotsOn(subject, `${subject.cluster}-3-0`)) / SLOTS;
      if (share === 0 || share < moment) return undefined;
      const step = (await stepsOf(handle)).find(({ name }) => name === 'move slots');
      if (step?.state === 'done') throw new Error('it was over before anything could happen to it');
      return share;
    },
    200_000, // the move gives way to whatever else the machine does
  );

test.each(SEEDS)(
  'a move of slots ends well, with every key, when something dies in its middle (seed %i)',
  { timeout: 300_000 },
  async (seed) => {
    const victim = victims[(seed - 1) % victims.length] ?? 'worker';
    await onCluster(stack, async (subject) => {
      await prepared(subject, slowScaleOut);
      worker(stack);
      const handle = await start(subject, slowScaleOut.operation, slowScaleOut.input(subject.cluster));
      const moment = momentOf(seed);
      const share = await movedAtLeast(subject, handle, moment);
      await disturb(subject, victim);
      const doer = victim === 'worker' ? worker(stack) : undefined;
      const result = await (doer === undefined ? resultOf(handle) : whileRuns(subject, doer, resultOf(handle)));
      process.stdout.write(
        `  seed ${seed}: ${victim} died at ${Math.round(share * 100)} %; ${result.moved?.keys} keys moved in ${result.moved?.tookMs} ms, held ${result.moved?.heldMs} ms\n`,
      );
      expect(result).toMatchObject({ outcome: 'done', moved: { slots: 4096, ledger: { lost: 0 } } });
      await slowScaleOut.check(subject, result);
      await expectRemains(stack, subject.cluster, remains);
    });
  },
);

// Side by side, each on a stack of its own: they wait for slow moves, and for nodes that come back.
test.concurrent.each([
  ['Redis 7.0, where slots are handed over whether or not a replica has heard of it', laggingScaleOut],
  ['Valkey 9.1, where a replica hears of it first', waitingScaleOut],
])('a destination that dies while its replica is frozen takes nothing along: %s', { timeout: 200_000 }, async (_, survivor) => {
  const own = await beginStack();
  await onCluster(own, async (subject) => {
    await prepared(subject, survivor);
    worker(own);
    const handle = await start(subject, survivor.operation, survivor.input(subject.cluster));
    const [destination, replica] = [0, 1].map((ordinal) => own.dependencies.docker.getContainer(`${subject.cluster}-3-${ordinal}`));
    const keysThere = () => keysOn(subject, `${subject.cluster}-3-0`);
    await until('keys have come', async () => (await keysThere()) > 100, 60_000);
    await replica?.pause();
    await sleep(FROZEN_MS); // what comes now the replica hears of when the destination is gone
    await destination?.kill({ signal: 'SIGKILL' });
    await replica?.unpause();
    setTimeout(() => void destination?.start().catch(() => undefined), 15_000);
    await handle.executeUpdate(operationHandlers.limits, { args: [{ probeP99Ms: 1000, slotsAtOnce: 256 }] }); // it was slow to be caught
    const result = await resultOf(handle);
    expect(result).toMatchObject({ outcome: 'done', moved: { slots: 4096, ledger: { lost: 0 } } });
    await survivor.check(subject, result);
  });
});

if (all) {
  test('a worker that was frozen, and wakes up when another moves the slots, does no harm', { timeout: 300_000 }, async () => {
    await onCluster(stack, async (subject) => {
      await prepared(subject, slowScaleOut);
      const frozen = worker(stack);
      const handle = await start(subject, slowScaleOut.operation, slowScaleOut.input(subject.cluster));
      const before = await movedAtLeast(subject, handle, 0.1);
      process.kill(frozen.pid, 'SIGSTOP');
      try {
        worker(stack);
        await movedAtLeast(subject, handle, before + 0.1);
      } finally {
        process.kill(frozen.pid, 'SIGCONT');
      }
      const result = await resultOf(handle);
      expect(result).toMatchObject({ outcome: 'done', moved: { slots: 4096, ledger: { lost: 0 } } });
      await slowScaleOut.check(subject, result);
      await expectRemains(stack, subject.cluster, remains);
    });
  });
}

test('servers that move slots by themselves end it well when the worker dies in the middle', { timeout: 200_000 }, async () => {
  await onCluster(stack, async (subject) => {
    await prepared(subject, nativeScaleOut);
    worker(stack);
    const handle = await start(subject, nativeScaleOut.operation, nativeScaleOut.input(subject.cluster));
    await until(
      'the move runs',
      async () => (await stepsOf(handle)).some(({ name, state }) => name === 'move slots' && state === 'running'),
      60_000,
    );
    await stopWorkers(stack);
    const result = await whileRuns(subject, worker(stack), resultOf(handle));
    expect(result).toMatchObject({ outcome: 'done', moved: { strategy: 'native', slots: 4096 } });
    await nativeScaleOut.check(subject, result);
  });
});
