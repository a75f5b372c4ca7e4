import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Acceptance, KeeperInput } from '../../activities/temporal/keeper.ts';
import { failures } from '../../config/failures.ts';
import { keeperWorkflowId, lockWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { JournalEntry } from '../../config/progress.ts';
import { type KeeperDescription, keeperHandlers } from '../../config/status.ts';
import { uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { specOf } from '../unit/model-observations.ts';
import { type Bench, failureOf, progressOf, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

/** A provision that stands in the middle and holds the lock. */
const holding = async () => {
  const world = bench.world();
  const hold = world.hold('awaitFormed');
  const handle = await bench.start(world, 'provision');
  await hold.reached;
  return { world, hold, handle };
};
const lockOf = (world: World) => bench.client.workflow.getHandle(lockWorkflowId(world.spec.name));

describe.concurrent('the lock of a cluster', () => {
  test('refuses a second operation at once, and names who holds it', async () => {
    const { world, hold, handle } = await holding();
    const failure = await failureOf(bench.execute(world, 'deprovision'));
    expect(failure.type).toBe(failures.clusterBusy);
    expect(failure.message).toContain(`provision works on ${world.spec.name} (workflow ${handle.workflowId})`);
    expect(failure.message).toContain(`holdfast operations show ${handle.workflowId}`);
    expect(world.containers.size).toBe(6);
    hold.release();
    await handle.result();
  });

  test('lets a second operation wait its turn, when its input says so', async () => {
    const { world, hold, handle } = await holding();
    const second = await bench.start(world, 'provision', { spec: world.spec, whenBusy: 'wait' });
    await progressOf(second, (progress) => progress.stage === 'lock');
    await until('the second waits', async () =>
      (await second.describe()).raw.pendingActivities?.some((one) => one.activityType?.name === 'awaitLockFree'),
    );
    hold.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    expect(await second.result()).toMatchObject({ outcome: 'unchanged' });
  });

  test('is free at once after an operation, however it ended', async () => {
    const { world, hold, handle } = await holding();
    await handle.cancel();
    await failureOf(handle.result());
    hold.release();
    expect(await bench.execute(world, 'provision')).toMatchObject({ outcome: 'done' });
    expect((await lockOf(world).describe()).status.name).toBe('COMPLETED');
  });

  test('is freed by the server when the operation is terminated, and the next one takes up what is there', async () => {
    const { world, hold, handle } = await holding();
    await handle.terminate('by a test');
    hold.release();
    const next = await bench.execute(world, 'provision');
    expect(next).toMatchObject({ outcome: 'done' });
    expect(next.steps.map((step) => step.name)).toEqual(['schedule backups', 'hand the spec to the keeper']);
  });

  test('that somebody terminates by hand does not break the operation that held it', async () => {
    const { world, hold, handle } = await holding();
    await lockOf(world).terminate('by a test');
    hold.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });

  test('that somebody started by hand is told as such, instead of asking for it for ever', async () => {
    const world = bench.world();
    const lock = await bench.client.workflow.start('lock', {
      workflowId: lockWorkflowId(world.spec.name),
      taskQueue: WORKFLOW_TASK_QUEUE,
      args: [],
    });
    const failure = await failureOf(bench.execute(world, 'provision'));
    expect(failure).toMatchObject({ type: failures.clusterBusy });
    expect(failure.message).toContain(lockWorkflowId(world.spec.name));
    await lock.signal('release');
    expect(await bench.execute(world, 'provision')).toMatchObject({ outcome: 'done' });
  });

  test('of one cluster does not hold up another', async () => {
    const { hold, handle } = await holding();
    expect(await bench.execute(bench.world(), 'provision')).toMatchObject({ outcome: 'done' });
    hold.release();
    await handle.result();
  });
});

const acceptance = (name: string, generation: number, shards = 3): Acceptance => ({
  spec: specOf({ name, shards }),
  generation,
  acceptedAt: `2026-11-02T10:00:${String(generation % 60).padStart(2, '0')}.000Z`,
});
const entry = (runId: string): JournalEntry => ({
  workflowId: 'w',
  runId,
  operation: 'configure',
  by: 'ada',
  startedAt: '2026-11-02T10:00:00.000Z',
  endedAt: '2026-11-02T10:00:01.000Z',
  outcome: 'done',
  summary: `line ${runId}`,
});

const startKeeper = async (journal: readonly JournalEntry[] = []) => {
  const name = uniqueName();
  const input: KeeperInput = { ...acceptance(name, 1), journal };
  const handle = await bench.client.workflow.start('keeper', {
    workflowId: keeperWorkflowId(name),
    taskQueue: WORKFLOW_TASK_QUEUE,
    args: [input],
  });
  const current = bench.client.workflow.getHandle(keeperWorkflowId(name));
  return {
    name,
    handle,
    describe: () => current.query<KeeperDescription>(keeperHandlers.describe),
    journal: () => current.query<readonly JournalEntry[]>(keeperHandlers.journal),
    tell: (signal: string, ...args: unknown[]) => current.signal(signal, ...args),
  };
};

describe.concurrent('a keeper', () => {
  test('takes a newer spec, and neither an older one nor the same again', async () => {
    const keeper = await startKeeper();
    await keeper.tell(keeperHandlers.accept, acceptance(keeper.name, 3, 5));
    await keeper.tell(keeperHandlers.accept, acceptance(keeper.name, 2, 4));
    await keeper.tell(keeperHandlers.accept, acceptance(keeper.name, 3, 6));
    expect(await keeper.describe()).toMatchObject({ cluster: keeper.name, generation: 3, spec: { shards: 5 } });
    await keeper.tell(keeperHandlers.close);
    await keeper.handle.result();
  });

  test('writes each operation into the journal once, however often it is told', async () => {
    const keeper = await startKeeper();
    for (const runId of ['a', 'b', 'a', 'b', 'c']) await keeper.tell(keeperHandlers.record, entry(runId));
    expect((await keeper.journal()).map((line) => line.runId)).toEqual(['a', 'b', 'c']);
  });

  test('keeps the newest 200 lines of the journal', async () => {
    const keeper = await startKeeper(Array.from({ length: 199 }, (_, i) => entry(`old ${i}`)));
    await keeper.tell(keeperHandlers.record, entry('new 1'));
    await keeper.tell(keeperHandlers.record, entry('new 2'));
    const journal = await keeper.journal();
    expect(journal).toHaveLength(200);
    expect([journal[0]?.runId, journal.at(-1)?.runId]).toEqual(['old 1', 'new 2']);
  });

  test('survives signals that make no sense, as a person may send them', async () => {
    const keeper = await startKeeper();
    for (const nonsense of [undefined, null, 'text', {}, { generation: 9 }]) {
      await keeper.tell(keeperHandlers.accept, nonsense);
      await keeper.tell(keeperHandlers.record, nonsense);
    }
    expect(await keeper.describe()).toMatchObject({ generation: 1 });
    expect(await keeper.journal()).toEqual([]);
  });

  test('continues as new when its history grows, and loses nothing', async () => {
    const keeper = await startKeeper();
    await keeper.tell(keeperHandlers.accept, acceptance(keeper.name, 2));
    const current = bench.client.workflow.getHandle(keeperWorkflowId(keeper.name));
    // Signals that change nothing make history all the same. The query waits until they are taken in.
    const continued = async () => {
      await Promise.all(Array.from({ length: 100 }, () => keeper.tell(keeperHandlers.record, entry('same'))));
      await keeper.journal();
      return (await current.describe()).runId !== keeper.handle.firstExecutionRunId;
    };
    await until('the keeper continued as new', continued, 55_000);
    await keeper.tell(keeperHandlers.record, entry('last'));
    expect((await keeper.journal()).map((line) => line.runId)).toEqual(['same', 'last']);
    expect(await keeper.describe()).toMatchObject({ generation: 2 });
    expect((await current.describe()).historyLength).toBeLessThan(2000);
  });

  test('ends when it is closed', async () => {
    const keeper = await startKeeper();
    await keeper.tell(keeperHandlers.close);
    await keeper.handle.result();
    expect((await keeper.handle.describe()).status.name).toBe('COMPLETED');
  });
});
