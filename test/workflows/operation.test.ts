import { cancelled } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { keeperWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { type JournalEntry, operationHandlers, type Progress } from '../../config/progress.ts';
import { type KeeperDescription, keeperHandlers } from '../../config/status.ts';
import { createSearchAttributes } from '../../workers/search-attributes.ts';
import { withNode } from '../unit/model-observations.ts';
import { type Bench, failureOf, progressOf, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const fatal =
  (message: string, type: string = failures.engineRefused) =>
  () => {
    throw ApplicationFailure.nonRetryable(message, type);
  };
const journalOf = (world: World) =>
  bench.client.workflow.getHandle(keeperWorkflowId(world.spec.name)).query<readonly JournalEntry[]>(keeperHandlers.journal);
const standing = async (changes = {}) => {
  const world = bench.world(changes);
  await bench.execute(world, 'provision');
  world.calls.length = 0;
  return world;
};
const changing = (world: World) => world.calls.filter((call) => /^(ensure|remove|apply|set|accept|forget|close)/.test(call));
const nothing = (world: World) => ({
  containers: [...world.containers],
  volumes: [...world.volumes],
  network: world.network,
  secrets: world.secrets,
});
const NOTHING = { containers: [], volumes: [], network: false, secrets: false };

describe.concurrent('the stages of an operation', () => {
  test('come in the order of the design: observe, plan, act, verify, hand over, journal', async () => {
    const world = bench.world();
    const result = await bench.execute(world, 'provision');
    const [open, ...calls] = world.calls;
    expect(open).toBe('openOperation');
    expect(calls.filter((call) => !call.startsWith('ensureNode'))).toEqual([
      'readCluster',
      'requireHostWorker',
      'observe',
      'readSchedule',
      'ensureSecrets',
      'ensureImage',
      `ensureNetwork 3c6bb5b6-5f2e-4a4b-9a43-6f2a3c1f0b11`,
      'awaitFormed',
      'awaitFormed',
      'ensureSchedule',
      'acceptSpec',
      'recordInJournal',
    ]);
    expect(result).toMatchObject({ outcome: 'done', generation: 1, operation: 'provision', cluster: world.spec.name });
    expect(result.steps.map(({ name, state }) => `${name}: ${state}`)).toEqual(result.plan.steps.map(({ name }) => `${name}: done`));
  });

  test('can be followed: the plan before it acts, then each step with its time', async () => {
    const world = bench.world();
    const hold = world.hold('awaitFormed');
    const handle = await bench.start(world, 'provision');
    await hold.reached;
    const progress = await handle.query<Progress>(operationHandlers.progress);
    expect(progress).toMatchObject({ stage: 'act', paused: false, warnings: [] });
    expect(progress.steps.find((step) => step.name === 'form the cluster')).toMatchObject({ state: 'running' });
    expect(progress.steps.find((step) => step.name === 'make network')).toMatchObject({ state: 'done', tookMs: expect.any(Number) });
    hold.release();
    await handle.result();
    expect((await handle.query<Progress>(operationHandlers.progress)).stage).toBe('ended');
  });

  test('a dry run shows the plan and changes nothing, not even the journal', async () => {
    const world = bench.world();
    const result = await bench.execute(world, 'provision', { spec: world.spec, dryRun: true });
    expect(result).toMatchObject({ outcome: 'planned', steps: result.plan.steps.map(({ name }) => ({ name, state: 'waiting' })) });
    expect(changing(world)).toEqual([]);
    expect(world.calls).not.toContain('recordInJournal');
    expect(nothing(world)).toEqual(NOTHING);
  });

  test('a plan with refusals is not carried out, and all reasons are told', async () => {
    const world = bench.world();
    world.distort = (seen) => ({ ...seen, foreign: ['container a', 'volume b'] });
    const failure = await failureOf(bench.execute(world, 'provision'));
    expect(failure.type).toBe(failures.refused);
    expect(failure.message).toMatch(/^provision of \S+ is refused:\n- container a .*\n- volume b /);
    expect(changing(world)).toEqual([]);
  });

  test('a refused plan’s dry run ends well, with the refusals in the plan', async () => {
    const world = bench.world();
    world.distort = (seen) => ({ ...seen, foreign: ['container a'] });
    const result = await bench.execute(world, 'provision', { spec: world.spec, dryRun: true });
    expect(result.plan.refusals).toHaveLength(1);
  });

  test('where there is nothing to do it changes nothing and says so', async () => {
    const world = await standing();
    const result = await bench.execute(world, 'provision');
    expect(result).toMatchObject({ outcome: 'unchanged', steps: [] });
    expect(changing(world)).toEqual([]);
    expect((await journalOf(world)).map((entry) => entry.outcome)).toEqual(['done', 'unchanged']);
  });

  test('one whose cluster is not healthy afterwards fails, although every step worked, and is undone', async () => {
    const world = bench.world();
    world.distort = (seen) => withNode(seen, `${world.spec.name}-0-0`, { clusterState: 'fail' });
    const failure = await failureOf(bench.execute(world, 'provision'));
    expect(failure.type).toBe(failures.verificationFailed);
    expect(failure.message).toContain('cluster_state is not ok');
    expect(failure.details).toEqual([[expect.objectContaining({ code: 'cluster-state' })]]);
    expect(nothing(world)).toEqual(NOTHING);
  });
});

describe.concurrent('an approval', () => {
  const waiting = async () => {
    const world = bench.world();
    const handle = await bench.start(world, 'provision', { spec: world.spec, approval: { timeoutSeconds: 60 } });
    await progressOf(handle, (progress) => progress.stage === 'approval');
    return { world, handle };
  };

  test('is waited for before anything is changed, and says until when', async () => {
    const { world, handle } = await waiting();
    const progress = await handle.query<Progress>(operationHandlers.progress);
    expect(Date.parse(progress.approval?.until ?? '')).toBeGreaterThan(Date.now());
    expect(changing(world)).toEqual([]);
    await handle.executeUpdate(operationHandlers.approve, { args: [{ by: 'ada', reason: 'looks good' }] });
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    expect((await handle.query<Progress>(operationHandlers.progress)).approvedBy).toBe('ada: looks good');
  });

  test('can be given by signal, as the Temporal UI does', async () => {
    const { handle } = await waiting();
    await handle.signal(operationHandlers.approve, { by: 'ada' });
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });

  test.each(['update', 'signal'] as const)(
    'that is refused by %s ends the operation with who and why, and nothing was changed',
    async (way) => {
      const { world, handle } = await waiting();
      const decision = { by: 'ada', reason: 'not today' };
      if (way === 'update') await handle.executeUpdate(operationHandlers.reject, { args: [decision] });
      else await handle.signal(operationHandlers.reject, decision);
      const failure = await failureOf(handle.result());
      expect(failure).toMatchObject({ type: failures.rejected, message: 'ada rejected it: not today; nothing was changed' });
      expect(changing(world)).toEqual([]);
    },
  );

  test('that nobody gives in time is a rejection', async () => {
    const world = bench.world();
    const failure = await failureOf(bench.execute(world, 'provision', { spec: world.spec, approval: { timeoutSeconds: 1 } }));
    expect(failure).toMatchObject({ type: failures.rejected, message: 'nobody approved within 1 s; nothing was changed' });
    expect(changing(world)).toEqual([]);
  });

  test('cannot be given when none is asked for, nor without a name', async () => {
    const { handle } = await waiting();
    for (const nobody of [{}, { by: '' }, 'ada', null]) {
      const update = handle.executeUpdate<void, [unknown]>(operationHandlers.approve, { args: [nobody] });
      expect((await failureOf(update)).message).toContain('say who decides');
    }
    await handle.executeUpdate(operationHandlers.approve, { args: [{ by: 'ada' }] });
    await handle.result();
    const world = bench.world();
    const hold = world.hold('awaitFormed');
    const other = await bench.start(world, 'provision');
    await hold.reached;
    const late = await failureOf(other.executeUpdate(operationHandlers.reject, { args: [{ by: 'ada' }] }));
    expect(late.message).toContain('does not wait for an approval now');
    hold.release();
    await other.result();
  });
});

describe.concurrent('a pause', () => {
  test.each(['update', 'signal'] as const)('by %s stops at the next step boundary, and resume goes on', async (way) => {
    const world = bench.world();
    const hold = world.hold('ensureNetwork');
    const handle = await bench.start(world, 'provision');
    const tell = (name: string) => (way === 'update' ? handle.executeUpdate(name) : handle.signal(name));
    await hold.reached;
    await tell(operationHandlers.pause);
    hold.release();
    await progressOf(handle, ({ paused, steps }) => paused && steps.some((step) => step.name === 'make network' && step.state === 'done'));
    expect(world.containers.size).toBe(0);
    await tell(operationHandlers.resume);
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    expect(world.containers.size).toBe(6);
  });

  test('can be ended by a cancellation', async () => {
    const world = bench.world();
    const hold = world.hold('ensureNetwork');
    const handle = await bench.start(world, 'provision');
    await hold.reached;
    await handle.executeUpdate(operationHandlers.pause);
    hold.release();
    await progressOf(handle, ({ steps }) => steps.some((step) => step.name === 'make network' && step.state === 'done'));
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
    expect(nothing(world)).toEqual(NOTHING);
  });
});

describe.concurrent('a cancellation', () => {
  test.each(['ensureSecrets', 'ensureImage', 'ensureNetwork', 'ensureNode', 'awaitFormed', 'ensureSchedule', 'acceptSpec'] as const)(
    'during %s undoes what was begun, in reverse, and the operation ends as cancelled',
    async (activity) => {
      const world = bench.world();
      const hold = world.hold(activity);
      const handle = await bench.start(world, 'provision');
      await hold.reached;
      await handle.cancel();
      expect((await failureOf(handle.result())).type).toBe('CancelledFailure');
      expect((await handle.describe()).status.name).toBe('CANCELLED');
      expect(nothing(world)).toEqual(NOTHING);
      const { steps } = await handle.query<Progress>(operationHandlers.progress);
      expect(steps.filter((step) => step.state === 'undone').map((step) => step.name)).toEqual(
        ['remove certificates and passwords', 'remove network', 'remove new nodes', 'remove the schedule', 'take the spec back']
          .slice(
            0,
            { ensureSecrets: 1, ensureImage: 1, ensureNetwork: 2, ensureNode: 3, awaitFormed: 3, ensureSchedule: 4, acceptSpec: 5 }[
              activity
            ],
          )
          .toReversed(),
      );
      const undoing = world.calls.filter((call) => /^(forget|remove)/.test(call)).map((call) => call.split(' ')[0]);
      expect(undoing.at(-1)).toBe('removeSecrets');
    },
  );

  test('that comes after everything is verified comes too late: the operation ends well', async () => {
    const world = bench.world();
    const hold = world.hold('recordInJournal');
    const handle = await bench.start(world, 'provision');
    await hold.reached;
    await handle.cancel();
    hold.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    expect(world.containers.size).toBe(6);
  });

  test('of a provision that completes a cluster takes nothing of it away, and leaves the started node to it', async () => {
    const world = await standing();
    world.containers.delete(`${world.spec.name}-1-1`);
    const hold = world.hold('awaitFormed');
    const handle = await bench.start(world, 'provision');
    await hold.reached;
    await handle.cancel();
    await failureOf(handle.result());
    expect(world.containers.size).toBe(6);
    expect(world.volumes.size).toBe(6);
    expect([world.network, world.secrets]).toEqual([true, true]);
    expect((await journalOf(world)).map((entry) => entry.outcome)).toEqual(['done', 'cancelled']);
  });
});

describe.concurrent('an undo that fails', () => {
  test('is reported and never hidden, and the others still run', async () => {
    const world = bench.world();
    world.before('awaitFormed', fatal('they do not agree'));
    world.before('removeNetwork', fatal('the network is in use'));
    const handle = await bench.start(world, 'provision');
    const failure = await failureOf(handle.result());
    expect(failure.type).toBe(failures.undoFailed);
    expect(failure.message).toContain('step "form the cluster" failed: they do not agree');
    expect(failure.message).toContain('And this could not be undone, look at it: remove network: the network is in use');
    const kept = 'remove certificates and passwords: left as it is, since the rest is still there';
    expect(failure.details).toEqual([{ type: failures.engineRefused, problems: ['remove network: the network is in use', kept] }]);
    expect(nothing(world)).toEqual({ ...NOTHING, network: true, secrets: true });
    const { steps } = await handle.query<Progress>(operationHandlers.progress);
    expect(steps.find((step) => step.name === 'remove network')).toMatchObject({ state: 'undo failed', note: 'the network is in use' });
  });

  test('after a cancellation is reported too, instead of a clean end', async () => {
    const world = bench.world();
    world.before('removeNode', fatal('it does not go'));
    const hold = world.hold('awaitFormed');
    const handle = await bench.start(world, 'provision');
    await hold.reached;
    await handle.cancel();
    expect((await failureOf(handle.result())).type).toBe(failures.undoFailed);
    expect((await handle.describe()).status.name).toBe('FAILED');
  });
});

describe('steps side by side', () => {
  test('the first failure cancels the others, which are waited for before anything is undone', async () => {
    const world = bench.world();
    const { name } = world.spec;
    let others = 0;
    const all = Promise.withResolvers<void>();
    world.before('ensureNode', async ([request]) => {
      const { place } = request as { place: { name: string } };
      if (place.name === `${name}-2-0`) {
        await all.promise;
        throw ApplicationFailure.nonRetryable('it died', failures.nodeDied);
      }
      others += 1;
      if (others === 5) all.resolve();
      await cancelled().finally(() => world.calls.push(`ended ${place.name}`));
    });
    const failure = await failureOf(bench.execute(world, 'provision'));
    expect(failure).toMatchObject({ type: failures.nodeDied, message: `step "start ${name}-2-0" failed: it died` });
    const lastEnd = world.calls.findLastIndex((call) => call.startsWith('ended'));
    expect(world.calls.filter((call) => call.startsWith('ended'))).toHaveLength(5);
    expect(world.calls.findIndex((call) => call.startsWith('removeNode'))).toBeGreaterThan(lastEnd);
    expect(nothing(world)).toEqual(NOTHING);
  });
});

describe.concurrent('the journal', () => {
  test('has a line for each operation on a standing cluster: who, what, why, how it ended', async () => {
    const world = await standing();
    const { spec } = world;
    const changed = clusterSpec.parse({ ...spec, config: { hz: '20' } });
    await bench.execute(world, 'configure', { spec: changed, reason: 'more ticks' });
    const refused = clusterSpec.parse({ ...spec, shards: 4 });
    await failureOf(bench.execute(world, 'configure', { spec: refused }));
    const rejected = clusterSpec.parse({ ...changed, config: { hz: '30' } });
    await failureOf(bench.execute(world, 'configure', { spec: rejected, approval: { timeoutSeconds: 1 } }));
    const journal = await journalOf(world);
    expect(journal.map(({ operation, outcome }) => `${operation} ${outcome}`)).toEqual([
      'provision done',
      'configure done',
      'configure failed',
      'configure rejected',
    ]);
    expect(journal[1]).toMatchObject({ reason: 'more ticks', generation: 2, by: bench.client.options.identity ?? expect.any(String) });
    expect(journal[2]?.summary).toContain('shards (3 -> 4) cannot change while it serves');
    for (const { startedAt, endedAt } of journal) expect(Date.parse(endedAt)).toBeGreaterThanOrEqual(Date.parse(startedAt));
  });

  test('that cannot be written does not turn a good end into a bad one', async () => {
    const world = bench.world();
    world.before('recordInJournal', fatal('Temporal is away'));
    expect(await bench.execute(world, 'provision')).toMatchObject({ outcome: 'done' });
    expect(world.containers.size).toBe(6);
  });
});

describe.concurrent('configure', () => {
  test('that fails sets back parameters, limits and users', async () => {
    const world = await standing();
    const changed = clusterSpec.parse({
      ...world.spec,
      config: { hz: '20' },
      resources: { memory: '512Mi' },
      security: { users: [{ name: 'app' }] },
    });
    world.distort = (seen) => (world.usersOf === world.spec ? seen : withNode(seen, `${world.spec.name}-0-0`, { clusterState: 'fail' }));
    const failure = await failureOf(bench.execute(world, 'configure', { spec: changed }));
    expect(failure.type).toBe(failures.verificationFailed);
    expect(world.parametersOf).toEqual(world.spec);
    expect(world.usersOf).toEqual(world.spec);
    expect([...world.limitsOf.values()].every((limits) => limits.resources.memory === '256Mi')).toBe(true);
    const { generation } = await bench.client.workflow.getHandle(keeperWorkflowId(world.spec.name)).query<KeeperDescription>('describe');
    expect(generation).toBe(1);
  });

  test('of a cluster that is not there says which operation makes it', async () => {
    const failure = await failureOf(bench.execute(bench.world(), 'configure'));
    expect(failure.type).toBe(failures.clusterNotFound);
    expect(failure.message).toContain('provision makes it');
  });
});

describe.concurrent('deprovision', () => {
  test('removes everything, data and secrets last, and ends the keeper', async () => {
    const world = await standing();
    expect(await bench.execute(world, 'deprovision')).toMatchObject({ outcome: 'done' });
    expect(nothing(world)).toEqual(NOTHING);
    const order = world.calls.map((call) => call.split(' ')[0]);
    expect(order.indexOf('removeVolume')).toBeGreaterThan(order.lastIndexOf('removeNode'));
    expect(order.indexOf('removeSecrets')).toBeGreaterThan(order.lastIndexOf('removeVolume'));
    expect((await bench.client.workflow.getHandle(keeperWorkflowId(world.spec.name)).describe()).status.name).toBe('COMPLETED');
  });

  test('that finds something left fails, and keeps the secrets', async () => {
    const world = await standing();
    world.before('removeVolume', () => void world.containers.add(`${world.spec.name}-0-0`));
    const failure = await failureOf(bench.execute(world, 'deprovision'));
    expect(failure.message).toContain(`still there: ${world.spec.name}-0-0`);
    expect(world.secrets).toBe(true);
  });
});

describe('search attributes', () => {
  test('that the namespace lacks do not break a start', async () => {
    const world = bench.world();
    const handle = await bench.start(world, 'provision');
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
    expect((await handle.describe()).memo).toMatchObject({ cluster: world.spec.name, operation: 'provision' });
  });

  test('are registered by the worker, and set on operations and keepers', async () => {
    const register = createSearchAttributes(bench.client, new DefaultLogger('ERROR'));
    bench.searchAttributes = register;
    expect(await register()).toBe(true);
    const world = bench.world();
    const handle = await bench.start(world, 'provision');
    await handle.result();
    const keeper = bench.client.workflow.getHandle(keeperWorkflowId(world.spec.name));
    expect(JSON.stringify((await handle.describe()).typedSearchAttributes.getAll())).toContain(world.spec.name);
    expect(JSON.stringify((await keeper.describe()).typedSearchAttributes.getAll())).toContain('valkey 9.1');
    bench.searchAttributes = async () => false;
  });
});

describe.concurrent('what a person mistypes', () => {
  const start = (type: string, ...args: unknown[]) =>
    bench.client.workflow.execute(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: `by-hand:${type}:${Math.random()}`, args });

  test('fails at once, with a message that names the field', async () => {
    const failure = await failureOf(start('provision', { spec: { name: 'orders', engine: 'valkey', version: '9.1', replicas: 2 } }));
    expect(failure.type).toBe(failures.invalidInput);
    expect(failure.message).toContain('Unrecognized key: "replicas"');
  });

  test.each(['provision', 'configure', 'deprovision', 'status'])('%s without an input fails at once', async (type) => {
    expect((await failureOf(start(type))).message).toContain(`${type} needs one JSON object`);
  });

  test('an unknown workflow type fails at once, with those that there are', async () => {
    const failure = await failureOf(start('provison', {}));
    expect(failure.type).toBe(failures.unknownWorkflow);
    expect(failure.message).toContain('there is no workflow type "provison"; operations: provision, configure, deprovision');
  });

  test.each(['keeper', 'lock'])('a %s that is started by hand with nothing does not hang in a task that fails for ever', async (type) => {
    const workflowId = `by-hand:${type}:${Math.random()}`;
    const handle = await bench.client.workflow.start(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId, args: [] });
    if (type === 'lock') await handle.signal('release');
    const ended = await handle.result().then(
      () => 'COMPLETED',
      () => 'FAILED',
    );
    expect(ended).toBe(type === 'lock' ? 'COMPLETED' : 'FAILED');
  });
});
