import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failures } from '../../config/failures.ts';
import { type MoveProgress, moveLimits } from '../../config/migration.ts';
import { keeperWorkflowId, lockWorkflowId } from '../../config/names.ts';
import type { OperationName } from '../../config/operations.ts';
import { type JournalEntry, operationHandlers, type Progress } from '../../config/progress.ts';
import { type KeeperDescription, keeperHandlers } from '../../config/status.ts';
import { formatRanges, slotsOf } from '../../model/migration/moves.ts';
import { noScan } from '../../model/migration/survey.ts';
import { moveStep } from '../../model/plan-rebalance.ts';
import { repairStep } from '../../model/plan-repair.ts';
import { scaleSteps } from '../../model/plan-scale.ts';
import { until } from '../support/processes.ts';
import { withNode } from '../unit/model-observations.ts';
import { type Bench, failureOf, progressOf, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const fatal =
  (message: string, type: string = failures.verificationFailed) =>
  () => {
    throw ApplicationFailure.nonRetryable(message, type);
  };
const standing = async (changes = {}) => {
  const world = bench.world(changes);
  await bench.execute(world, 'provision');
  world.calls.length = 0;
  return world;
};
const keeperOf = (world: World) =>
  bench.client.workflow.getHandle(keeperWorkflowId(world.spec.name)).query<KeeperDescription>(keeperHandlers.describe);
const journalOf = (world: World) =>
  bench.client.workflow.getHandle(keeperWorkflowId(world.spec.name)).query<readonly JournalEntry[]>(keeperHandlers.journal);
const lockOf = async (world: World) => (await bench.client.workflow.getHandle(lockWorkflowId(world.spec.name)).describe()).status.name;
/** What was changed, in order; the cluster's name left out of the nodes'. */
const changing = (world: World) =>
  world.calls
    .filter((call) =>
      /^(ensure|apply|set|join|accept|move|remove|promote|require(?=Emptied)|retire|reinstate|forget|reset|repair|awaitFormed)/.test(call),
    )
    .map((call) => call.replace(/ (3c6bb5b6\S*)$/, '').replace(`${world.spec.name}-`, ''));
const shardsOf = (world: World) => [...new Set(world.owners)].sort();
const stepOf = (progress: Progress, name: string) => progress.steps.find((step) => step.name === name);

/** No activity of an operation runs: a move that was asked to stop has ended. */
const stopped = (handle: WorkflowHandle) =>
  until('no activity runs', async () => ((await handle.describe()).raw.pendingActivities ?? []).length === 0);

/** A scale out of three shards to four, with its move of slots standing in the middle. */
const moving = async (after = 100, shards = 4) => {
  const world = await standing();
  const stand = world.standAfter(after);
  const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards });
  await stand.reached;
  return { world, handle, stand };
};

describe.concurrent('scale', () => {
  test('out: nodes, join, the new spec, then slots, and a look at all of it', async () => {
    const world = await standing();
    const result = await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4, reason: 'more to come' });
    const [image, network, ...rest] = changing(world);
    expect([image, network, ...rest.slice(0, 2).sort(), ...rest.slice(2)]).toEqual([
      'ensureImage',
      'ensureNetwork',
      'ensureNode 3-0',
      'ensureNode 3-1',
      'joinCluster',
      'reinstateNodes',
      'acceptSpec',
      'moveSlots',
      'removeProbeKeys',
      'awaitFormed',
    ]);
    expect(result).toMatchObject({
      outcome: 'done',
      generation: 2,
      summary: `${world.spec.name}: 3 -> 4 shards`,
      moved: { slots: 4096, slotsTotal: 4096, keys: 40_960, ledger: { lost: 0 } },
    });
    expect(result.steps.map(({ name, state }) => `${name}: ${state}`)).toEqual(result.plan.steps.map(({ name }) => `${name}: done`));
    expect(shardsOf(world)).toEqual([0, 1, 2, 3]);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { shards: 4 } });
    expect((await journalOf(world)).at(-1)).toMatchObject({ operation: 'scale', outcome: 'done', reason: 'more to come', generation: 2 });
  });

  test('in: slots, a look that nothing is left, forget, replicas before primaries, and then the new spec', async () => {
    const world = await standing({ shards: 5 });
    const result = await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 });
    expect(changing(world)).toEqual([
      'moveSlots',
      'removeProbeKeys',
      'requireEmptied',
      'retireNodes',
      'forgetNodes',
      ...['removeNode 3-1', 'removeNode 4-1', 'removeNode 3-0', 'removeNode 4-0'],
      'acceptSpec',
      'awaitFormed',
    ]);
    expect(result).toMatchObject({ outcome: 'done', generation: 2 });
    expect(shardsOf(world)).toEqual([0, 1, 2]);
    expect([world.containers.size, world.volumes.size]).toEqual([6, 6]);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { shards: 3 } });
  });

  test('in replicas: one that stays takes over first where a primary would leave, and that one leaves last', async () => {
    const world = await standing({ replicasPerShard: 2 });
    world.leaders.set(1, 2);
    expect(await bench.execute(world, 'scale', { cluster: world.spec.name, replicasPerShard: 1 })).toMatchObject({ outcome: 'done' });
    expect(changing(world)).toEqual([
      'promoteReplica 1-0',
      'retireNodes',
      'forgetNodes',
      ...['removeNode 0-2', 'removeNode 2-2', 'removeNode 1-2'],
      'acceptSpec',
      'awaitFormed',
    ]);
  });

  test('of memory sets limits and parameters, and takes them back when the cluster is not healthy with them', async () => {
    const world = await standing();
    expect(await bench.execute(world, 'scale', { cluster: world.spec.name, resources: { memory: '512Mi' } })).toMatchObject({
      outcome: 'done',
      generation: 2,
    });
    expect([...world.limitsOf.values()].every(({ resources }) => resources.memory === '512Mi')).toBe(true);
    world.before('applyParameters', fatal('no'));
    await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, resources: { memory: '1Gi' } }));
    expect([...world.limitsOf.values()].every(({ resources }) => resources.memory === '512Mi')).toBe(true);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { resources: { memory: '512Mi' } } });
  });

  test('whose new nodes do not join removes them, forgotten first, and leaves the former spec', async () => {
    const world = await standing();
    world.before('joinCluster', fatal('they do not know one another'));
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    const failure = await failureOf(handle.result());
    expect(failure).toMatchObject({
      type: failures.verificationFailed,
      message: 'step "join the cluster" failed: they do not know one another',
    });
    const after = changing(world).slice(changing(world).indexOf('joinCluster') + 1);
    expect([...after.slice(0, 2), ...after.slice(2).sort()]).toEqual(['retireNodes', 'forgetNodes', 'removeNode 3-0', 'removeNode 3-1']);
    expect([world.containers.size, world.volumes.size]).toEqual([6, 6]);
    expect(await keeperOf(world)).toMatchObject({ generation: 1, spec: { shards: 3 } });
    expect(stepOf(await handle.query<Progress>(operationHandlers.progress), 'remove the new nodes')).toMatchObject({ state: 'undone' });
  });

  test('that is cancelled while the new spec is accepted hands the former one back, and removes the new nodes', async () => {
    const world = await standing();
    const hold = world.hold('acceptSpec');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await hold.reached;
    world.befores.delete('acceptSpec'); // the one that takes it back is not held
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect(await keeperOf(world)).toMatchObject({ generation: 3, spec: { shards: 3 } });
    expect(world.containers.size).toBe(6);
    expect(world.moveRequests).toEqual([]);
  });

  test.each([
    ['rebalance', {}],
    ['scale', { shards: 4 }],
  ] as const)('whose move fails after the new spec was accepted takes nothing back; %s goes on', async (operation, input) => {
    const world = await standing();
    world.before('moveSlots', fatal('a write is gone', failures.writeLost));
    const failure = await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4 }));
    expect(failure).toMatchObject({ type: failures.writeLost, message: `step "${moveStep}" failed: a write is gone` });
    expect(changing(world).slice(changing(world).indexOf('moveSlots'))).toEqual(['moveSlots']);
    expect(world.containers.size).toBe(8);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { shards: 4 } });
    world.befores.delete('moveSlots');
    const next = await bench.execute(world, operation, { cluster: world.spec.name, ...input });
    expect(next).toMatchObject({ outcome: 'done', moved: { slots: 4096 } });
    expect(next).not.toHaveProperty('generation');
    expect(await keeperOf(world)).toMatchObject({ generation: 2 });
  });

  test.each([
    ['node is away for too long', failures.nodeAway],
    ['server refuses for good', 'Error'],
  ])('whose move fails since a %s leaves no slot open, as far as that can be done', async (why, type) => {
    const world = await standing();
    world.before('moveSlots', fatal(why, type));
    world.before('removeProbeKeys', fatal('it is away'));
    expect(await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4 }))).toMatchObject({
      type,
      message: `step "${moveStep}" failed: ${why}`,
    });
    expect(changing(world).slice(changing(world).indexOf('moveSlots'))).toEqual(['moveSlots', 'repairSlots', 'removeProbeKeys']);
  });

  test('in, whose move was cancelled, goes on when it is asked for again', async () => {
    const world = await standing({ shards: 4 });
    const stand = world.standAfter(1000);
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 3 });
    await stand.reached;
    await handle.cancel();
    await failureOf(handle.result());
    expect(await keeperOf(world)).toMatchObject({ generation: 1, spec: { shards: 4 } });
    const again = await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 });
    expect(again).toMatchObject({ outcome: 'done', moved: { slots: 3096 } });
  });

  test('in does not stop once nodes are forgotten: a cancellation comes too late', async () => {
    const world = await standing({ shards: 4 });
    const hold = world.hold('removeNode');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 3 });
    await hold.reached;
    await handle.cancel();
    hold.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done', generation: 2 });
    expect(world.containers.size).toBe(6);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { shards: 3 } });
  });

  test.each(['removeNode', 'acceptSpec'] as const)('in, which failed in %s, is finished when it is asked for again', async (activity) => {
    const world = await standing({ shards: 4 });
    world.before(activity, fatal('it is away'));
    expect((await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 }))).message).toContain('it is away');
    expect(await keeperOf(world)).toMatchObject({ generation: 1, spec: { shards: 4 } });
    world.befores.delete(activity);
    expect(await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 })).toMatchObject({ outcome: 'done', generation: 2 });
    expect([world.containers.size, world.volumes.size]).toEqual([6, 6]);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { shards: 3 } });
  });

  test('in, with a slot that did not leave, removes nothing', async () => {
    const world = await standing({ shards: 4 });
    world.before('requireEmptied', fatal('a key is left'));
    expect((await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 }))).message).toContain('a key is left');
    expect(changing(world).at(-1)).toBe('requireEmptied');
    expect(world.containers.size).toBe(8);
  });

  test('whose cluster is not healthy afterwards fails, and keeps what it has', async () => {
    const world = await standing();
    world.distort = (seen) => (world.containers.size === 6 ? seen : withNode(seen, `${world.spec.name}-0-0`, { clusterState: 'fail' }));
    expect((await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4 }))).type).toBe(
      failures.verificationFailed,
    );
    expect(world.containers.size).toBe(8);
  });

  test('of a sentinel cluster makes replicas and removes them, and tells the sentinels', async () => {
    const world = await standing({ mode: 'sentinel' });
    const { name } = world.spec;
    expect(await bench.execute(world, 'scale', { cluster: name, replicasPerShard: 2 })).toMatchObject({ outcome: 'done', generation: 2 });
    expect(changing(world)).toEqual([
      'ensureImage',
      'ensureNetwork',
      'ensureNode 0-2',
      'awaitFormed',
      'reinstateNodes',
      'acceptSpec',
      'awaitFormed',
    ]);
    world.calls.length = 0;
    expect(await bench.execute(world, 'scale', { cluster: name, replicasPerShard: 1 })).toMatchObject({ outcome: 'done', generation: 3 });
    expect(changing(world)).toEqual(['retireNodes', 'removeNode 0-2', 'resetSentinels', 'acceptSpec', 'awaitFormed']);
    expect(world.retired.size).toBe(0);
  });

  describe('in sentinel mode', () => {
    const sentinels = () => standing({ mode: 'sentinel', replicasPerShard: 3 });

    test('a pause stands between the removals of two nodes, never between a removal and what makes certain of it', async () => {
      const world = await sentinels();
      const { name } = world.spec;
      const hold = world.hold('retireNodes');
      const handle = await bench.start(world, 'scale', { cluster: name, replicasPerShard: 1 });
      await hold.reached;
      await handle.executeUpdate(operationHandlers.pause);
      hold.release();
      await progressOf(handle, (progress) => stepOf(progress, scaleSteps.remove({ name: `${name}-0-2` }))?.state === 'done');
      expect(changing(world)).toEqual(['retireNodes', 'removeNode 0-2']);
      await handle.executeUpdate(operationHandlers.resume);
      expect(await handle.result()).toMatchObject({ outcome: 'done' });
      expect(changing(world).slice(0, 4)).toEqual(['retireNodes', 'removeNode 0-2', 'retireNodes', 'removeNode 0-3']);
    });

    test('a node that became the primary after the plan is not removed, and the others can be promoted again', async () => {
      const world = await sentinels();
      world.before('retireNodes', () => void world.leaders.set(0, 2));
      const failure = await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, replicasPerShard: 1 }));
      expect(failure).toMatchObject({ type: failures.refused, message: expect.stringContaining(`${world.spec.name}-0-2 is the primary`) });
      expect(changing(world)).toEqual(['retireNodes', 'reinstateNodes']);
      expect([world.containers.size, world.retired.size]).toEqual([7, 0]);
      expect(await keeperOf(world)).toMatchObject({ generation: 1, spec: { replicasPerShard: 3 } });
    });

    test.each(['removeNode', 'resetSentinels', 'acceptSpec'] as const)(
      'what failed in %s, with some nodes gone, goes on',
      async (activity) => {
        const world = await sentinels();
        const input = { cluster: world.spec.name, replicasPerShard: 1 };
        world.before(activity, () => {
          if (activity !== 'removeNode' || !world.containers.has(`${world.spec.name}-0-2`)) throw fatal('it is away')();
        });
        expect((await failureOf(bench.execute(world, 'scale', input))).message).toContain('it is away');
        expect(world.containers.size).toBe(activity === 'removeNode' ? 6 : 5);
        expect(world.retired.size).toBe(0);
        world.befores.delete(activity);
        expect(await bench.execute(world, 'scale', input)).toMatchObject({ outcome: 'done', generation: 2 });
        expect([world.containers.size, world.volumes.size]).toEqual([5, 5]);
        expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { replicasPerShard: 1 } });
      },
    );

    test('an undo removes the new nodes when none of them can be the primary', async () => {
      const world = await sentinels();
      world.before('awaitFormed', fatal('it did not form'));
      await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, replicasPerShard: 4 }));
      expect(changing(world).slice(-3)).toEqual(['retireNodes', 'removeNode 0-4', 'resetSentinels']);
      expect(world.containers.size).toBe(7);
    });

    test('new nodes that an undo could not remove can be promoted once they are taken up', async () => {
      const world = await sentinels();
      const input = { cluster: world.spec.name, replicasPerShard: 4 };
      world.before('awaitFormed', fatal('it did not form'));
      world.before('removeNode', fatal('it is away'));
      expect((await failureOf(bench.execute(world, 'scale', input))).type).toBe(failures.undoFailed);
      expect([...world.retired]).toEqual([`${world.spec.name}-0-4`]);
      world.befores.clear();
      expect(await bench.execute(world, 'scale', input)).toMatchObject({ outcome: 'done', generation: 2 });
      expect([world.containers.size, world.retired.size]).toEqual([8, 0]);
    });

    test('an undo removes nothing when a new node is the primary, and says so', async () => {
      const world = await sentinels();
      world.before('awaitFormed', () => {
        world.leaders.set(0, 4);
        throw fatal('it did not form')();
      });
      const failure = await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, replicasPerShard: 4 }));
      expect(failure).toMatchObject({
        type: failures.undoFailed,
        message: expect.stringContaining(`remove the new nodes: ${world.spec.name}-0-4 is the primary`),
      });
      expect(changing(world).at(-1)).toBe('retireNodes');
      expect([world.containers.size, world.volumes.size]).toEqual([8, 8]);
    });
  });

  test('in, with a slot that came back while it was paused, forgets and removes nothing', async () => {
    const world = await standing({ shards: 4 });
    const hold = world.hold('requireEmptied');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 3 });
    await hold.reached;
    await handle.executeUpdate(operationHandlers.pause);
    hold.release();
    await progressOf(handle, (progress) => stepOf(progress, scaleSteps.emptied)?.state === 'done');
    world.owners[0] = 3;
    await handle.executeUpdate(operationHandlers.resume);
    expect((await failureOf(handle.result())).message).toContain('one that is to be forgotten still owns slots');
    expect(changing(world).slice(-3)).toEqual(['retireNodes', 'forgetNodes', 'reinstateNodes']);
    expect([world.containers.size, world.retired.size]).toEqual([8, 0]);
  });

  test('in, to fewer shards than leave, is finished when it is asked for again', async () => {
    const world = await standing({ shards: 7 });
    world.before('removeNode', fatal('it is away'));
    await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 }));
    world.befores.delete('removeNode');
    expect(await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 })).toMatchObject({ outcome: 'done', generation: 2 });
    expect(world.containers.size).toBe(6);
  });

  test('to the size that it has changes nothing', async () => {
    const world = await standing();
    expect(await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 3 })).toMatchObject({ outcome: 'unchanged' });
    expect(changing(world)).toEqual([]);
  });
});

describe.concurrent('a cancellation in the middle of a move', () => {
  test('ends it at a group boundary, says how far it came, takes nothing back and lets go of the lock', async () => {
    const { world, handle } = await moving(100);
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    const far = '100 of 4096 slots have moved, with 1000 keys; they stay where they are, and no slot is open';
    const { steps, warnings } = await handle.query<Progress>(operationHandlers.progress);
    expect(steps.find(({ name }) => name === moveStep)).toMatchObject({ state: 'failed', note: far });
    expect(steps.filter(({ state }) => state === 'undone' || state === 'undo failed')).toEqual([]);
    expect(warnings).toEqual([]);
    expect((await journalOf(world)).at(-1)).toMatchObject({ outcome: 'cancelled', summary: `cancelled: ${far}` });
    expect(changing(world).slice(-2)).toEqual(['moveSlots', 'removeProbeKeys']);
    expect(world.containers.size).toBe(8);
    expect(world.owners.filter((shard) => shard === 3)).toHaveLength(100);
    expect(await keeperOf(world)).toMatchObject({ generation: 2, spec: { shards: 4 } });
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test('is told the same while it is paused', async () => {
    const { world, handle } = await moving(100);
    await handle.executeUpdate(operationHandlers.pause);
    await stopped(handle);
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect((await journalOf(world)).at(-1)?.summary).toContain('cancelled: 100 of 4096 slots have moved');
    expect(world.calls).toContain('removeProbeKeys');
    expect(world.moveRequests).toHaveLength(1);
  });

  test('that comes when the last slot has moved ends the operation after it has tidied up', async () => {
    const world = await standing();
    const hold = world.hold('removeProbeKeys');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await hold.reached;
    await handle.cancel();
    hold.release();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect(stepOf(await handle.query<Progress>(operationHandlers.progress), moveStep)).toMatchObject({ state: 'done' });
    expect(world.calls.filter((call) => call === 'removeProbeKeys')).toHaveLength(1);
    expect(world.containers.size).toBe(8);
  });

  test('of a scale in with more memory leaves the memory: what has moved needs it', async () => {
    const world = await standing({ shards: 4 });
    const stand = world.standAfter(1000);
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 3, resources: { memory: '512Mi' } });
    await stand.reached;
    await handle.cancel();
    await failureOf(handle.result());
    expect([...world.limitsOf.values()].map(({ resources }) => resources.memory)).toEqual(new Array(8).fill('512Mi'));
    expect(world.parametersOf.resources.memory).toBe('512Mi');
  });
});

describe.concurrent('a move whose worker dies', () => {
  /** The attempt ends in the middle, and no other has begun yet. */
  const dead = async () => {
    const world = await standing();
    const died = Promise.withResolvers<void>();
    world.before('moveSlots', () => {
      died.resolve();
      throw new Error('the worker died');
    });
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await died.promise;
    await until('it waits for another attempt', async () =>
      (await handle.describe()).raw.pendingActivities?.some((one) => (one.lastFailure ?? undefined) !== undefined),
    );
    return { world, handle };
  };

  test('and is cancelled then closes what was open, and ends as cancelled', async () => {
    const { world, handle } = await dead();
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect(changing(world).slice(-2)).toEqual(['repairSlots', 'removeProbeKeys']);
    expect((await journalOf(world)).at(-1)?.summary).toBe(
      'cancelled: some slots may have moved; they stay where they are, and no slot is open',
    );
    expect(world.containers.size).toBe(8);
  });

  test('and is cancelled while a node is away ends as cancelled, and says what may be open', async () => {
    const { world, handle } = await dead();
    world.before('repairSlots', fatal('shard 1 has no primary', failures.nodeAway));
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect((await journalOf(world)).at(-1)?.summary).toBe(
      `cancelled: some slots may have moved; they stay where they are, and a node was away, so slots may be open. Next: holdfast status ${world.spec.name}; when its nodes are back, holdfast repair ${world.spec.name}`,
    );
  });

  test.each([
    ['paused and resumed', [operationHandlers.pause, operationHandlers.resume]],
    ['given other limits', [operationHandlers.limits]],
  ] as const)('and is %s then goes on', async (_, updates) => {
    const { world, handle } = await dead();
    world.befores.delete('moveSlots');
    for (const update of updates) {
      if (update === operationHandlers.limits) await handle.executeUpdate(update, { args: [{ probeP99Ms: 25 }] });
      else await handle.executeUpdate(update);
      if (update === operationHandlers.pause) await stopped(handle);
    }
    expect(await handle.result()).toMatchObject({ outcome: 'done', moved: { slots: 4096 } });
  });

  test('and is paused closes what was open before the pause, however long that takes', async () => {
    const { world, handle } = await dead();
    await handle.executeUpdate(operationHandlers.pause);
    await until('it is closed', async () => world.calls.includes('repairSlots'));
    await stopped(handle);
    expect(changing(world).at(-1)).toBe('repairSlots');
    await handle.cancel();
    await failureOf(handle.result());
  });

  test('and is cancelled while it is paused closes what was open, too', async () => {
    const { world, handle } = await dead();
    await handle.executeUpdate(operationHandlers.pause);
    await stopped(handle);
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect(changing(world).slice(-2)).toEqual(['repairSlots', 'removeProbeKeys']);
  });
});

describe.concurrent('a pause of a move', () => {
  test.each(['update', 'signal'] as const)('by %s ends it at a group boundary, and resume goes on with what it had', async (way) => {
    const { world, handle } = await moving(100);
    const tell = (name: string) => (way === 'update' ? handle.executeUpdate(name) : handle.signal(name));
    await tell(operationHandlers.pause);
    await progressOf(handle, ({ paused }) => paused);
    await stopped(handle);
    expect(stepOf(await handle.query<Progress>(operationHandlers.progress), moveStep)).toMatchObject({ state: 'running' });
    expect(world.moveRequests).toHaveLength(1);
    expect(world.owners.filter((shard) => shard === 3)).toHaveLength(100);
    await tell(operationHandlers.resume);
    expect(await handle.result()).toMatchObject({ outcome: 'done', moved: { slots: 4096, slotsTotal: 4096, keys: 40_960 } });
    expect(world.moveRequests).toHaveLength(2);
    expect(world.moveRequests[0]).not.toHaveProperty('soFar');
    expect(world.moveRequests[1]?.soFar).toMatchObject({ keys: 1000, acknowledged: 100 });
    expect(world.calls.filter((call) => call === 'removeProbeKeys')).toHaveLength(1);
  });

  test('while a node is away closes what may be open, and resume goes on with what it had', async () => {
    const { world, handle } = await moving(100);
    world.waitsFor = 'shard 3 has no primary';
    await handle.executeUpdate(operationHandlers.pause);
    await until('it is closed', async () => world.calls.includes('repairSlots'));
    await stopped(handle);
    await handle.executeUpdate(operationHandlers.resume);
    expect(await handle.result()).toMatchObject({ outcome: 'done', moved: { slots: 4096, keys: 40_960 } });
    expect(world.moveRequests[1]?.soFar).toMatchObject({ keys: 1000, acknowledged: 100 });
  });

  test('is obeyed before the move begins, too', async () => {
    const world = await standing();
    const hold = world.hold('acceptSpec');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await hold.reached;
    await handle.executeUpdate(operationHandlers.pause);
    hold.release();
    await progressOf(handle, ({ steps }) => steps.some(({ name, state }) => name === 'hand the spec to the keeper' && state === 'done'));
    expect(world.moveRequests).toEqual([]);
    await handle.executeUpdate(operationHandlers.resume);
    await handle.result();
    expect(world.moveRequests).toHaveLength(1);
  });
});

describe.concurrent('limits', () => {
  const change = { probeP99Ms: 25, slotsAtOnce: 16 };

  test.each(['update', 'signal'] as const)('that a person changes by %s hold from the next group on', async (way) => {
    const { world, handle } = await moving(100);
    if (way === 'update') await handle.executeUpdate(operationHandlers.limits, { args: [change] });
    else await handle.signal(operationHandlers.limits, change);
    expect(await handle.result()).toMatchObject({ outcome: 'done', moved: { slots: 4096, keys: 40_960 } });
    const before = moveLimits.parse({});
    expect(world.moveRequests.map(({ limits }) => limits)).toEqual([before, { ...before, ...change }]);
    expect(world.moveRequests[1]?.soFar).toMatchObject({ keys: 1000 });
  });

  test('that are changed twice, and while it is paused, hold together', async () => {
    const { world, handle } = await moving(100);
    await handle.executeUpdate(operationHandlers.pause);
    await stopped(handle);
    await handle.executeUpdate(operationHandlers.limits, { args: [{ probeP99Ms: 25 }] });
    await handle.executeUpdate(operationHandlers.limits, { args: [{ slotsAtOnce: 16 }] });
    expect(world.moveRequests).toHaveLength(1);
    await handle.executeUpdate(operationHandlers.resume);
    await handle.result();
    expect(world.moveRequests.map(({ limits }) => limits)).toEqual([moveLimits.parse({}), moveLimits.parse(change)]);
  });

  test.each([
    ['of a name that is none', { probeP99: 5 }, 'Unrecognized key: "probeP99"'],
    ['out of bounds', { pairs: 0 }, 'pairs'],
    ['that change nothing', {}, 'name at least one limit'],
    ['that are no object', 'fast', 'limits'],
  ])('%s are refused at once by the update, and a warning by the signal', async (_, wrong, reason) => {
    const { world, handle, stand } = await moving(100);
    const refused = await failureOf(handle.executeUpdate<void, [unknown]>(operationHandlers.limits, { args: [wrong] }));
    expect(refused).toMatchObject({ type: failures.invalidInput, message: expect.stringContaining(reason) });
    await handle.signal(operationHandlers.limits, wrong);
    const { warnings } = await progressOf(handle, (progress) => progress.warnings.length > 0);
    expect(warnings).toEqual([expect.stringContaining(reason)]);
    stand.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    expect(world.moveRequests).toHaveLength(1);
  });

  test('cannot be changed before slots move', async () => {
    const world = await standing();
    const hold = world.hold('joinCluster');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await hold.reached;
    const refused = await failureOf(handle.executeUpdate(operationHandlers.limits, { args: [change] }));
    expect(refused.message).toBe('this operation moves no slots now, so it has no limits to change');
    hold.release();
    await handle.result();
    expect(world.moveRequests.map(({ limits }) => limits)).toEqual([moveLimits.parse({})]);
  });

  test('of the input are those of the move', async () => {
    const world = await standing();
    await bench.execute(world, 'rebalance', { cluster: world.spec.name, weights: { '0': 0 }, limits: change });
    expect(world.moveRequests[0]?.limits).toEqual(moveLimits.parse(change));
  });
});

describe.concurrent('how far a move is', () => {
  const told = (slots: number): MoveProgress => ({
    state: 'moving',
    strategy: 'pipelined',
    slots,
    slotsTotal: 4096,
    keys: slots * 10,
    keysTotal: 40_960,
    bytes: 0,
    bytesTotal: 0,
    keysPerSecond: 1000,
    latency: { samples: 10, p50: 1, p99: 2, p999: 3, max: 4 },
    pairs: [],
  });

  test('is seen in the progress as the activity tells it, in its step and nowhere else', async () => {
    const { handle, stand, world } = await moving(100);
    const before = await handle.query<Progress>(operationHandlers.progress);
    await handle.signal(operationHandlers.moved, told(100));
    const after = await progressOf(handle, (progress) => stepOf(progress, moveStep)?.move !== undefined);
    expect(stepOf(after, moveStep)).toMatchObject({ state: 'running', done: 100, total: 4096, unit: 'slots', move: told(100) });
    const elsewhere = ({ steps, ...rest }: Progress) => ({ ...rest, steps: steps.filter(({ name }) => name !== moveStep) });
    expect(elsewhere(after)).toEqual(elsewhere(before));
    for (const nonsense of [undefined, null, 'text', {}]) await handle.signal(operationHandlers.moved, nonsense);
    expect(stepOf(await handle.query<Progress>(operationHandlers.progress), moveStep)?.done).toBe(100);
    stand.release();
    await handle.result();
    expect(JSON.stringify(await journalOf(world))).not.toContain('keysPerSecond');
  });

  test('that is told when no step runs any more changes nothing', async () => {
    const world = await standing();
    const hold = world.hold('recordInJournal');
    const handle = await bench.start(world, 'scale', { cluster: world.spec.name, shards: 4 });
    await hold.reached;
    await handle.signal(operationHandlers.moved, told(1));
    hold.release();
    const { steps } = (await handle.result()) as { readonly steps: Progress['steps'] };
    expect(steps.every(({ move }) => move === undefined)).toBe(true);
  });
});

describe.concurrent('a plan that moves slots', () => {
  test('is shown by a dry run with each of its moves, and nothing is changed', async () => {
    const world = await standing();
    const result = await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4, dryRun: true });
    expect(result).toMatchObject({ outcome: 'planned' });
    expect(result.plan.moves?.map(({ from, to }) => [from, to])).toEqual([
      [0, 3],
      [1, 3],
      [2, 3],
    ]);
    expect(result.plan.moves?.reduce((sum, { slots }) => sum + slots, 0)).toBe(4096);
    expect(changing(world)).toEqual([]);
    expect(await journalOf(world)).toHaveLength(1);
    expect(await keeperOf(world)).toMatchObject({ generation: 1 });
  });

  test('is carried out as it was shown, or not at all', async () => {
    const world = await standing();
    const { name } = world.spec;
    const shown = await bench.execute(world, 'scale', { cluster: name, shards: 4, dryRun: true });
    const other = await failureOf(bench.execute(world, 'scale', { cluster: name, shards: 5, planDigest: shown.plan.digest }));
    expect(other).toMatchObject({ type: failures.refused, message: expect.stringContaining('the plan has changed since it was shown') });
    expect(changing(world)).toEqual([]);
    world.keys.fill(77); // what is in the slots is no part of it
    expect(await bench.execute(world, 'scale', { cluster: name, shards: 4, planDigest: shown.plan.digest })).toMatchObject({
      outcome: 'done',
    });
  });

  test('is refused with every reason, before anything is changed', async () => {
    const world = await standing();
    world.scan = { looked: 1, keys: 1, big: [{ key: 'huge', slot: 7, shard: 0, bytes: 2 ** 30 }], bigCount: 1, careful: '7' };
    const failure = await failureOf(bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4 }));
    expect(failure).toMatchObject({ type: failures.refused, message: expect.stringContaining('huge (slot 7, 1024 MiB)') });
    expect(changing(world)).toEqual([]);
  });

  test('says to the mover which slots hold large keys, and how much there is', async () => {
    const world = await standing();
    world.scan = { looked: 1, keys: 1, big: [], bigCount: 0, careful: '7' };
    await bench.execute(world, 'rebalance', { cluster: world.spec.name, weights: { '0': 0 } });
    expect(world.moveRequests[0]).toMatchObject({
      careful: '7',
      expected: { keys: 54_610, bytes: 5_461_000 },
      strategy: 'pipelined',
      mayFallBack: true,
    });
  });
});

describe.concurrent('servers that refuse to move slots by themselves', () => {
  const drained = { weights: { '0': 0 } };
  const standingNative = async () => {
    const world = await standing();
    [world.native, world.refusesNative] = [true, 'ERR not today'];
    return world;
  };
  const keyOf = (bytes: number) => ({ looked: 1, keys: 1, big: [{ key: 'huge', slot: 7, shard: 0, bytes }], bigCount: 1, careful: '7' });
  const lookedAndMoved = (world: World) => world.calls.filter((call) => /^(scanBigKeys|moveSlots)/.test(call));
  const rebalance = (world: World, input = {}) => bench.execute(world, 'rebalance', { cluster: world.spec.name, ...drained, ...input });

  test('are followed by MIGRATE, once somebody has looked for large keys', async () => {
    const world = await standingNative();
    world.scan = { ...noScan, careful: '7' };
    expect(await rebalance(world)).toMatchObject({ outcome: 'done', moved: { strategy: 'pipelined', slots: 5461, keys: 54_610 } });
    expect(lookedAndMoved(world)).toEqual(['moveSlots', 'scanBigKeys', 'moveSlots']);
    expect(world.moveRequests.map(({ strategy, careful, mayFallBack }) => ({ strategy, careful, mayFallBack }))).toEqual([
      { strategy: 'native', careful: '0-5460', mayFallBack: true },
      { strategy: 'pipelined', careful: '7', mayFallBack: true },
    ]);
    expect(world.moveRequests[1]?.soFar).toMatchObject({ keys: 0 });
  });

  test.each([
    [
      'is above the limit',
      100 * 2 ** 20,
      {},
      'a key above limits.maxKeyBytes (64 MiB) would stall a shard while it moves: huge (slot 7, 100 MiB)',
    ],
    ['has no room', 2 ** 30, { bigKeys: 'move' }, 'huge (slot 7) has 1024 MiB, and shard 2 holds it 5 times while it takes it'],
  ])('with a key that %s end the operation as its plan would have been refused, with no slot moved', async (_, bytes, input, reason) => {
    const world = await standingNative();
    world.scan = keyOf(bytes);
    const failure = await failureOf(rebalance(world, { ...input, moves: [{ from: 0, to: 2, slots: '0-9' }], weights: {} }));
    expect(failure).toMatchObject({ type: failures.refused, message: expect.stringContaining(`- ${reason}`) });
    expect(failure.message).toMatch(/refuse to move slots by themselves \(ERR not today\).*no slot has moved, and none is open/);
    expect(failure.details[0]).toContainEqual(expect.stringContaining(reason));
    expect(changing(world)).toEqual(['moveSlots', 'repairSlots', 'removeProbeKeys']);
    expect(shardsOf(world)).toEqual([0, 1, 2]);
  });

  test('with a key above the limit go on by MIGRATE where a person has said so', async () => {
    const world = await standingNative();
    world.scan = keyOf(2048);
    const limits = { maxKeyBytes: 1024 };
    expect(await rebalance(world, { bigKeys: 'move', limits })).toMatchObject({ outcome: 'done', moved: { strategy: 'pipelined' } });
  });

  test.each([
    ['and refuse again', 'ERR not today', ['moveSlots', 'moveSlots', 'scanBigKeys', 'moveSlots']],
    ['and then move them', undefined, ['moveSlots', 'moveSlots']],
  ])('are asked once more when the worker died that was told so, %s', async (_, then, calls) => {
    const world = await standingNative();
    world.before('moveSlots', () => {
      world.befores.delete('moveSlots');
      world.refusesNative = then;
      throw new Error('the worker died');
    });
    expect(await rebalance(world)).toMatchObject({ outcome: 'done', moved: { strategy: then === undefined ? 'native' : 'pipelined' } });
    expect(lookedAndMoved(world)).toEqual(calls);
  });

  describe('while somebody looks for large keys', () => {
    const looking = async () => {
      const world = await standingNative();
      const asked: number[] = [];
      const { reached } = world.hold('scanBigKeys');
      const hold = world.befores.get('scanBigKeys');
      world.before('scanBigKeys', (args) => {
        asked.push((args[0] as { maxKeyBytes: number }).maxKeyBytes);
        return asked.length === 1 ? hold?.(args) : undefined;
      });
      const handle = await bench.start(world, 'rebalance', { cluster: world.spec.name, ...drained });
      await reached;
      return { world, handle, asked };
    };
    const usual = moveLimits.parse({}).maxKeyBytes;

    test('a pause is obeyed, and it is looked once more afterwards', async () => {
      const { world, handle, asked } = await looking();
      await handle.executeUpdate(operationHandlers.pause);
      await stopped(handle);
      expect(world.moveRequests).toHaveLength(1);
      await handle.executeUpdate(operationHandlers.resume);
      expect(await handle.result()).toMatchObject({ outcome: 'done', moved: { strategy: 'pipelined', slots: 5461 } });
      expect(asked).toEqual([usual, usual]);
    });

    test('a limit that is changed holds for what is looked for', async () => {
      const { handle, asked } = await looking();
      await handle.executeUpdate(operationHandlers.limits, { args: [{ maxKeyBytes: 4096 }] });
      expect(await handle.result()).toMatchObject({ outcome: 'done' });
      expect(asked).toEqual([usual, 4096]);
    });

    test('a cancellation ends it with no slot moved', async () => {
      const { world, handle } = await looking();
      await handle.cancel();
      expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
      expect((await journalOf(world)).at(-1)?.summary).toMatch(/^cancelled: 0 of 5461 slots have moved.*no slot is open$/);
      expect(changing(world)).toEqual(['moveSlots', 'removeProbeKeys']);
    });
  });
});

describe.concurrent('rebalance', () => {
  test('moves what a person wrote, and nothing else', async () => {
    const world = await standing();
    const moves = [
      { from: 0, to: 2, slots: '0-9,100' },
      { from: 1, to: 2, slots: '6000' },
    ];
    const result = await bench.execute(world, 'rebalance', { cluster: world.spec.name, moves });
    expect(result).toMatchObject({ outcome: 'done', moved: { slots: 12 } });
    expect(result).not.toHaveProperty('generation');
    expect(world.moveRequests[0]?.moves.map(({ from, to, slots }) => [from, to, formatRanges(slots)])).toEqual([
      [0, 2, '0-9,100'],
      [1, 2, '6000'],
    ]);
    expect([world.owners[0], world.owners[10], world.owners[100], world.owners[6000]]).toEqual([2, 0, 2, 2]);
    expect(changing(world)).toEqual(['moveSlots', 'removeProbeKeys', 'awaitFormed']);
  });

  test('of what is balanced changes nothing', async () => {
    const world = await standing();
    expect(await bench.execute(world, 'rebalance')).toMatchObject({ outcome: 'unchanged' });
    expect(changing(world)).toEqual([]);
  });

  test('moves what was approved, although other keys were written while somebody thought about it', async () => {
    const world = await standing();
    const input = { cluster: world.spec.name, by: 'keys' };
    for (let slot = 0; slot < 1000; slot++) world.keys[slot] = 100;
    const handle = await bench.start(world, 'rebalance', { ...input, approval: { timeoutSeconds: 60 } });
    const { plan } = await progressOf(handle, ({ stage }) => stage === 'approval');
    for (let slot = 0; slot < 1000; slot++) world.keys[slot] = 10;
    for (let slot = 8000; slot < 9000; slot++) world.keys[slot] = 100;
    await handle.executeUpdate(operationHandlers.approve, { args: [{ by: 'ada' }] });
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    const moved = world.moveRequests[0]?.moves.map(({ from, to, slots }) => ({ from, to, ranges: formatRanges(slots) }));
    expect(moved).toEqual(plan?.moves?.map(({ from, to, ranges }) => ({ from, to, ranges })));
    expect(moved?.every(({ from }) => from === 0)).toBe(true);
    const now = await bench.execute(world, 'rebalance', { ...input, dryRun: true });
    expect(now.plan.moves?.some(({ from }) => from === 1)).toBe(true);
  });

  test('that is cancelled goes on when it is asked for again', async () => {
    const world = await standing();
    const input = { cluster: world.spec.name, weights: { '2': 0 } };
    const stand = world.standAfter(1000);
    const handle = await bench.start(world, 'rebalance', input);
    await stand.reached;
    await handle.cancel();
    await failureOf(handle.result());
    const first = world.moveRequests[0]?.moves.flatMap(({ slots }) => slotsOf(slots)) ?? [];
    expect(await bench.execute(world, 'rebalance', input)).toMatchObject({ outcome: 'done', moved: { slots: first.length - 1000 } });
    expect(shardsOf(world)).toEqual([0, 1]);
  });
});

describe.concurrent('repair', () => {
  const id = (letter: string) => letter.repeat(40);

  test('of a cluster without open slots changes nothing', async () => {
    const world = await standing();
    expect(await bench.execute(world, 'repair')).toMatchObject({ outcome: 'unchanged', summary: `${world.spec.name} has no open slot` });
    expect(changing(world)).toEqual([]);
  });

  test('closes what is open, and says what it did', async () => {
    const world = await standing();
    world.closings = [
      { slot: 5, how: 'finish', from: id('a'), to: id('b') },
      { slot: 9, how: 'settle', owner: id('a') },
    ];
    const result = await bench.execute(world, 'repair');
    expect(result).toMatchObject({ outcome: 'done', summary: `${world.spec.name} has no open slot any more: 2 slots closed` });
    expect(result.steps).toEqual([expect.objectContaining({ name: repairStep, state: 'done', note: '1 handed over, 1 settled' })]);
    expect(changing(world)).toEqual(['repairSlots', 'awaitFormed']);
  });

  test('closes what it can and fails for what only a person can decide', async () => {
    const world = await standing();
    world.closings = [
      { slot: 5, how: 'finish', from: id('a'), to: id('b') },
      { slot: 7, how: 'person', why: '2 nodes claim it: 3 keys' },
    ];
    const failure = await failureOf(bench.execute(world, 'repair'));
    expect(failure).toMatchObject({ type: failures.slotConflict, message: expect.stringContaining('slot 7: 2 nodes claim it: 3 keys') });
    expect(failure.details).toEqual([[{ slot: 7, why: '2 nodes claim it: 3 keys' }]]);
    expect(world.closings).toHaveLength(1);
    const { plan } = await bench.execute(world, 'repair', { cluster: world.spec.name, dryRun: true });
    expect(plan.summary).toContain('slot 7: 2 nodes claim it: 3 keys');
  });

  test('that was approved closes the slots although their keys are not those that were counted', async () => {
    const world = await standing();
    world.closings = [{ slot: 7, how: 'settle', owner: id('a') }];
    const handle = await bench.start(world, 'repair', { cluster: world.spec.name, approval: { timeoutSeconds: 60 } });
    await progressOf(handle, ({ stage }) => stage === 'approval');
    await handle.executeUpdate(operationHandlers.approve, { args: [{ by: 'ada' }] });
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });
});

describe.concurrent('what has no slots to move', () => {
  const inputs: readonly (readonly [OperationName, object])[] = [
    ['rebalance', {}],
    ['repair', {}],
    ['scale', { shards: 3 }],
  ];

  test.each(inputs)('in sentinel mode %s is refused, and says why', async (operation, input) => {
    const world = await standing({ mode: 'sentinel' });
    const failure = await failureOf(bench.execute(world, operation, { cluster: world.spec.name, ...input }));
    expect(failure).toMatchObject({ type: failures.refused, message: expect.stringContaining('is in sentinel mode') });
    expect(changing(world)).toEqual([]);
    expect(await lockOf(world)).toBe('COMPLETED');
  });

  test.each(inputs)('%s of a cluster that is not there says which ones are', async (operation, input) => {
    const { spec } = bench.world();
    const failure = await failureOf(
      bench.client.workflow.execute(operation, {
        workflowId: `${spec.name}:${operation}:none`,
        taskQueue: 'holdfast',
        args: [{ cluster: spec.name, ...input }],
      }),
    );
    expect(failure).toMatchObject({
      type: failures.clusterNotFound,
      message: `there is no cluster named ${spec.name}: holdfast list shows those that are`,
    });
  });
});
