import { afterAll, beforeAll, expect, test } from 'vitest';
import { holdAt } from '../support/crash-cancel.ts';
import { reasonNotToRestart, restartEngine, startEngineProxy } from '../support/crash-engine.ts';
import { beginStack, endStacks, type GoodRun, onCluster, resultOf, runWell, type Subject, whileRuns } from '../support/crash-harness.ts';
import { expectRemains } from '../support/crash-remains.ts';
import { all } from '../support/crash-suite.ts';
import { provisionCluster } from '../support/crash-survivors.ts';
import { until } from '../support/processes.ts';
import type { Stack } from '../support/stack.ts';

// A server goes away while nodes start: one stands before its start, others are in the middle of theirs.
const point = { activity: 'ensureNode', occurrence: 2, when: 'before' } as const;
let stack: Stack;
let good: GoodRun;

beforeAll(async () => {
  stack = await beginStack();
  good = await runWell(stack, provisionCluster);
});

afterAll(endStacks);

const endsWell = async (subject: Subject, held: Awaited<ReturnType<typeof holdAt>>) => {
  const result = await whileRuns(subject, held.worker, resultOf(held.handle));
  expect(result.outcome).toBe('done');
  await provisionCluster.check(subject, result);
  await expectRemains(stack, subject.cluster, good.remains);
};

test('a provision ends well when the Temporal server is restarted while nodes start', async () => {
  await onCluster(stack, async (subject) => {
    const held = await holdAt(subject, provisionCluster, point);
    const restarted = stack.restartTemporal();
    held.open(); // the nodes come up while nobody can be told
    await restarted;
    await endsWell(subject, held);
  });
});

test('a provision ends well when the Docker engine does not answer for a while', async () => {
  const engine = await startEngineProxy(stack.folder);
  process.env.HOLDFAST_DOCKER_HOST = engine.url; // for the workers that start now
  try {
    await onCluster(stack, async (subject) => {
      const held = await holdAt(subject, provisionCluster, point);
      await engine.cut();
      held.open();
      // Some seven seconds: each attempt waits longer than the one before.
      await until(
        'an activity has failed four times',
        async () => {
          const { raw } = await held.handle.describe();
          return raw.pendingActivities?.some(({ attempt }) => (attempt ?? 0) >= 5);
        },
        60_000,
      );
      await engine.mend();
      await endsWell(subject, held);
    });
  } finally {
    delete process.env.HOLDFAST_DOCKER_HOST;
    await engine.cut();
  }
});

// It takes every container of the machine down for a moment: not in a normal run.
if (all)
  test('a provision ends well when the Docker engine is restarted while nodes start', async () => {
    await onCluster(stack, async (subject) => {
      const { docker } = stack.dependencies;
      const held = await holdAt(subject, provisionCluster, point);
      const reason = await reasonNotToRestart(docker, subject.cluster);
      if (reason !== undefined) throw new Error(`the engine cannot be restarted here: ${reason}`);
      const restarted = restartEngine(docker);
      held.open();
      await restarted;
      await endsWell(subject, held);
    });
  });
