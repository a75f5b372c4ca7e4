import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import { lockWorkflowId } from '../../config/names.ts';
import { operationHandlers, type Progress } from '../../config/progress.ts';
import { holdAt } from '../support/crash-cancel.ts';
import {
  beginStack,
  endStacks,
  execute,
  expectHealthy,
  type GoodRun,
  onCluster,
  resultOf,
  runWell,
  type Subject,
  start,
  whileRuns,
  worker,
} from '../support/crash-harness.ts';
import { expectRemains, nothing, remainsOf } from '../support/crash-remains.ts';
import { provisionSmall } from '../support/crash-survivors.ts';
import { until } from '../support/processes.ts';
import type { Stack } from '../support/stack.ts';

const atNetwork = { activity: 'ensureNetwork', occurrence: 1, when: 'before' } as const;
const atSecondNode = { activity: 'ensureNode', occurrence: 2, when: 'after' } as const;
let stack: Stack;
let good: GoodRun;

beforeAll(async () => {
  stack = await beginStack();
  good = await runWell(stack, provisionSmall);
});

afterAll(endStacks);

const onEmptyCluster = (work: (subject: Subject) => Promise<void>) => onCluster(stack, work);
const input = (cluster: string, changes: object = {}) => ({ ...(provisionSmall.input(cluster) as object), ...changes });
const progressOf = (handle: WorkflowHandle) => handle.query<Progress>(operationHandlers.progress);
const stageOf = (handle: WorkflowHandle, stage: Progress['stage']) =>
  until(`its stage is ${stage}`, async () => (await progressOf(handle)).stage === stage);

/** The failure that ended it, as a person sees it. */
async function failureOf(handle: WorkflowHandle): Promise<ApplicationFailure> {
  const error = await handle.result().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof WorkflowFailedError && error.cause instanceof ApplicationFailure) return error.cause;
  throw new Error(`${handle.workflowId} did not fail`, { cause: error });
}

test('a worker that is told to end finishes the step that it is in, and another one does the rest', () =>
  onEmptyCluster(async (subject) => {
    const held = await holdAt(subject, provisionSmall, atNetwork);
    process.kill(held.worker.pid, 'SIGTERM');
    const second = worker(stack);
    held.open();
    expect(await held.worker.ended).toBe(0);
    await provisionSmall.check(subject, await whileRuns(subject, second, resultOf(held.handle)));
    const { events } = await held.handle.fetchHistory();
    const attempts = events?.flatMap(({ activityTaskStartedEventAttributes: started }) => (started ? [started.attempt] : []));
    expect(new Set(attempts)).toEqual(new Set([1]));
    await expectRemains(stack, subject.cluster, good.remains);
  }));

test('a worker that is told to end gives up a step that lasts too long, and another one takes it up', () =>
  onEmptyCluster(async (subject) => {
    const held = await holdAt(subject, provisionSmall, atSecondNode);
    process.kill(held.worker.pid, 'SIGTERM');
    const second = worker(stack);
    expect(await held.worker.ended).toBe(0);
    await provisionSmall.check(subject, await whileRuns(subject, second, resultOf(held.handle)));
    await expectRemains(stack, subject.cluster, good.remains);
  }));

test('a second operation on a cluster fails at once and names the first, or waits for it when it is told to', () =>
  onEmptyCluster(async (subject) => {
    const { cluster } = subject;
    const first = await holdAt(subject, provisionSmall, atNetwork);
    const refused = await failureOf(await start(subject, 'provision', input(cluster)));
    expect(refused.type).toBe(failures.clusterBusy);
    expect(refused.message).toContain(first.handle.workflowId);
    const patient = await start(subject, 'provision', input(cluster, { whenBusy: 'wait' }));
    await stageOf(patient, 'lock');
    await until('it waits for the lock', async () =>
      (await patient.describe()).raw.pendingActivities?.some(({ activityType }) => activityType?.name === 'awaitLockFree'),
    );
    expect((await first.handle.describe()).status.name).toBe('RUNNING');
    first.open();
    expect((await whileRuns(subject, first.worker, resultOf(first.handle))).outcome).toBe('done');
    expect((await whileRuns(subject, first.worker, resultOf(patient))).outcome).toBe('unchanged');
    await expectRemains(stack, cluster, good.remains);
  }));

/** Leaves a cluster of which some nodes run and others do not exist, and an operation that could not undo anything. */
async function terminated(subject: Subject) {
  const held = await holdAt(subject, provisionSmall, atSecondNode);
  await held.handle.terminate('a person was in a hurry');
  await until('the lock is free', async () => {
    const { status } = await stack.client.workflow.getHandle(lockWorkflowId(subject.cluster)).describe();
    return status.name !== 'RUNNING';
  });
  const left = await remainsOf(stack, subject.cluster);
  expect(left.containers.length).toBeGreaterThan(0);
  expect(left.networks).toEqual(good.remains.networks);
  return held;
}

test('a cluster that a terminated operation left half made is completed by the next provision', () =>
  onEmptyCluster(async (subject) => {
    const held = await terminated(subject);
    const again = await whileRuns(subject, held.worker, execute(subject, 'provision', input(subject.cluster)));
    expect(again.outcome).toBe('done');
    await provisionSmall.check(subject, again);
    await expectRemains(stack, subject.cluster, good.remains);
  }));

test('a cluster that a terminated operation left half made is removed by a forced deprovision', () =>
  onEmptyCluster(async (subject) => {
    const { cluster } = subject;
    const held = await terminated(subject);
    await whileRuns(subject, held.worker, execute(subject, 'deprovision', { cluster, confirm: cluster, force: true }));
    await expectRemains(stack, cluster, nothing);
  }));

test('a paused operation holds before its next step, and goes on when it is resumed', () =>
  onEmptyCluster(async (subject) => {
    const { handle, open, worker: doer } = await holdAt(subject, provisionSmall, atNetwork);
    await handle.executeUpdate(operationHandlers.pause);
    open();
    const halted = await until('the step in hand is done', async () => {
      const progress = await progressOf(handle);
      return progress.steps.some((step) => step.name === 'make network' && step.state === 'done') && progress;
    });
    expect(halted.paused).toBe(true);
    const nodes = halted.steps.filter((step) => step.name.startsWith(`start ${subject.cluster}`));
    expect(nodes.map((step) => step.state)).toEqual(['waiting', 'waiting', 'waiting']);
    expect((await handle.describe()).raw.pendingActivities ?? []).toEqual([]);
    expect((await remainsOf(stack, subject.cluster)).containers).toEqual([]);
    await handle.signal(operationHandlers.resume);
    await provisionSmall.check(subject, await whileRuns(subject, doer, resultOf(handle)));
  }));

/** Runs a provision up to its question. */
async function asking(subject: Subject, timeoutSeconds = 3600) {
  worker(stack);
  const handle = await start(subject, 'provision', input(subject.cluster, { approval: { timeoutSeconds } }));
  await stageOf(handle, 'approval');
  return handle;
}

test('an operation that nobody approves in time is rejected, and nothing was changed', () =>
  onEmptyCluster(async (subject) => {
    const failure = await failureOf(await asking(subject, 3));
    expect(failure.type).toBe(failures.rejected);
    expect(failure.message).toContain('nobody approved within 3 s');
    await expectRemains(stack, subject.cluster, nothing);
  }));

test('an operation that is approved by an update that says by whom is carried out', () =>
  onEmptyCluster(async (subject) => {
    const handle = await asking(subject);
    await expect(handle.executeUpdate(operationHandlers.approve, { args: [{ by: '' }] })).rejects.toThrow();
    expect(await remainsOf(stack, subject.cluster)).toMatchObject({ containers: [], networks: [], objects: [] });
    await handle.executeUpdate(operationHandlers.approve, { args: [{ by: 'ann', reason: 'as agreed' }] });
    const result = await resultOf(handle);
    expect(result.outcome).toBe('done');
    expect((await progressOf(handle)).approvedBy).toBe('ann: as agreed');
    await expectHealthy(subject);
  }));

test('an operation that is rejected by a signal ends and says who rejected it, and nothing was changed', () =>
  onEmptyCluster(async (subject) => {
    const handle = await asking(subject);
    await handle.signal(operationHandlers.reject, { by: 'bob', reason: 'not on a Friday' });
    const failure = await failureOf(handle);
    expect(failure.type).toBe(failures.rejected);
    expect(failure.message).toContain('bob rejected it: not on a Friday');
    await expectRemains(stack, subject.cluster, nothing);
  }));

test('an operation that is cancelled while it waits for an approval ends, and nothing was changed', () =>
  onEmptyCluster(async (subject) => {
    const handle = await asking(subject);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    await expectRemains(stack, subject.cluster, nothing);
  }));
