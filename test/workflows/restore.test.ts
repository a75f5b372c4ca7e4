import { cancelled } from '@temporalio/activity';
import type { WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupManifest } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { drillName, lockWorkflowId, objectKeys } from '../../config/names.ts';
import { operationHandlers, type Progress } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { evenSlotRanges, formatRange } from '../../model/slots.ts';
import { until } from '../support/processes.ts';
import { type Bench, failureOf, progressOf, startBench, type World } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench.stop());

const broken = (message = 'the disk is full') => {
  throw ApplicationFailure.nonRetryable(message, failures.hostFull);
};
const names = (world: World) => world.calls.map((call) => call.split(' ')[0]);
const lockOf = async (world: World) => (await bench.client.workflow.getHandle(lockWorkflowId(world.spec.name)).describe()).status.name;

/** A cluster with a backup. */
async function standing(changes = {}): Promise<{ readonly world: World; readonly backup: string }> {
  const world = bench.world(changes);
  await bench.execute(world, 'provision');
  const made = await bench.execute(world, 'backup');
  world.calls.length = 0;
  return { world, backup: made.backup?.id ?? '' };
}

/** Nothing of a cluster is left. */
async function requireNothing(world: World): Promise<void> {
  expect([...world.containers, ...world.volumes]).toEqual([]);
  expect([world.network, world.secrets, world.scratches.size]).toEqual([false, false, 0]);
  expect(await bench.objects(objectKeys.clusterPrefix(world.spec.name))).toEqual([]);
}

/** An operation that is cancelled while an activity is under way leaves nothing. */
async function leavesNothing(into: World, activity: Parameters<World['hold']>[0], begin: () => Promise<WorkflowHandle>): Promise<void> {
  const holding = into.hold(activity);
  const handle = await begin();
  await holding.reached;
  await handle.cancel();
  await expect(handle.result()).rejects.toThrow();
  await requireNothing(into);
  expect(await lockOf(into)).toBe('COMPLETED');
}

describe('a restore into another name', () => {
  const bringing = async (into: World, more: object = {}) => {
    const { world, backup } = await standing();
    return bench.start(into, 'restore', { cluster: world.spec.name, backup, into: into.spec.name, ...more });
  };

  test('lets no server start before its own data lies there, and hands the spec to the keeper last', async () => {
    const into = bench.world();
    expect(await (await bringing(into)).result()).toMatchObject({ outcome: 'done', restored: { keys: 163_840 } });
    const order = names(into);
    const first = into.calls.filter((call) => /^(fillShard|ensureNode) .*-0$/.test(call));
    expect(first).toHaveLength(2 * into.spec.shards);
    for (const call of first.filter((one) => one.startsWith('ensureNode')))
      expect(first.indexOf(call.replace('ensureNode', 'fillShard')), call).toBeLessThan(first.indexOf(call));
    expect(order.lastIndexOf('ensureNode')).toBeGreaterThan(order.lastIndexOf('awaitLoaded'));
    expect(order.indexOf('awaitLoaded')).toBeLessThan(order.indexOf('awaitFormed'));
    expect(order.indexOf('acceptSpec')).toBeGreaterThan(order.lastIndexOf('awaitFormed'));
    expect(order).not.toContain('rewriteFiles');
    expect(await lockOf(into)).toBe('COMPLETED');
  });

  test('reads no more shards at a time than it was told, and lets a server load while the next shard is read', async () => {
    const into = bench.world();
    const holding = into.hold('fillShard', 2);
    const handle = await bringing(into, { shardsAtOnce: 1 });
    await holding.reached;
    await until('the first server has started', async () => names(into).includes('ensureNode'));
    expect(names(into).filter((name) => name === 'fillShard')).toHaveLength(2);
    holding.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });

  test('with times to live shifted has the append-only files written anew before a replica starts', async () => {
    const into = bench.world();
    await (await bringing(into, { ttl: 'shift' })).result();
    const order = into.calls.filter((call) => /^(fillShard|rewriteFiles|ensureNode)/.test(call)).map((call) => call.split(' ')[0] ?? '');
    const three = (name: string) => [name, name, name];
    expect(order.slice(0, 9), 'no time runs while others are read').toEqual(['fillShard', 'ensureNode', 'rewriteFiles'].flatMap(three));
  });

  test('that is only planned makes nothing, and says what becomes of keys whose time has passed', async () => {
    const into = bench.world();
    const { outcome, plan } = (await (await bringing(into, { dryRun: true })).result()) as Awaited<ReturnType<Bench['execute']>>;
    expect(outcome).toBe('planned');
    expect(plan.steps.find(({ name }) => name === 'load the data')?.change).toContain('keys whose time has passed since then are gone');
    await requireNothing(into);
  });

  test('is refused where the name is taken, and what is there stays', async () => {
    const { world, backup } = await standing();
    const other = (await standing()).world;
    const input = { cluster: world.spec.name, backup, into: other.spec.name };
    const { type, message } = await failureOf(bench.execute(other, 'restore', input));
    expect([type, message]).toEqual([failures.refused, expect.stringContaining(`a cluster named ${other.spec.name} exists`)]);
    expect(names(other)).not.toContain('fillShard');
    expect(await lockOf(other)).toBe('COMPLETED');
  });

  test('that fails undoes all in reverse: nodes, then the network, and what opens them last', async () => {
    const into = bench.world();
    into.before('awaitLoaded', () => broken());
    expect((await failureOf((await bringing(into)).result())).type).toBe(failures.hostFull);
    await requireNothing(into);
    const order = names(into);
    expect(order.lastIndexOf('removeNode')).toBeLessThan(order.indexOf('removeNetwork'));
    expect(order.indexOf('removeNetwork')).toBeLessThan(order.indexOf('removeSecrets'));
  });

  test('gives up the others when a server cannot load its data, and removes them only then', async () => {
    const into = bench.world();
    const left: number[] = [];
    let calls = 0;
    into.before('awaitLoaded', async () => {
      if (++calls === 1) return broken();
      await cancelled().finally(() => left.push(names(into).filter((name) => name === 'removeNode').length));
    });
    expect((await failureOf((await bringing(into)).result())).type).toBe(failures.hostFull);
    expect(left).toEqual([0, 0]);
    await requireNothing(into);
  });

  test.each(['fillShard', 'awaitLoaded', 'acceptSpec'] as const)('that is cancelled in %s leaves nothing', async (activity) => {
    const into = bench.world();
    await leavesNothing(into, activity, () => bringing(into));
  });

  test('holds the new name: another one meanwhile is told who has it', async () => {
    const into = bench.world();
    const holding = into.hold('fillShard');
    const first = await bringing(into);
    await holding.reached;
    const { type, message } = await failureOf((await bringing(into)).result());
    expect([type, message]).toEqual([failures.clusterBusy, expect.stringContaining(first.workflowId)]);
    holding.release();
    expect(await first.result()).toMatchObject({ outcome: 'done' });
  });
});

describe('a restore into another number of shards', () => {
  const SHARDS = 4;
  const KEYS = 163_840;
  let source: ReturnType<typeof standing> | undefined;
  /** Restores are only reading what they have in common. */
  const bringing = async (into: World, more: object = {}) => {
    source ??= standing();
    const { world, backup } = await source;
    return bench.start(into, 'restore', { cluster: world.spec.name, backup, into: into.spec.name, changes: { shards: SHARDS }, ...more });
  };
  const emptyWorld = () => bench.world({ shards: SHARDS });
  /** Its primaries say that they have all keys between them. */
  const withKeys = (into: World) => {
    into.distort = (seen) => ({ ...seen, nodes: seen.nodes.map((node) => (node.answers ? { ...node, keys: KEYS / SHARDS } : node)) });
  };
  const firstNodes = (world: World) => Array.from({ length: SHARDS }, (_, shard) => `${world.spec.name}-${shard}-0`);

  test('lets servers start when all volumes are complete, replicas when all is loaded, and has no server send a key', async () => {
    const into = emptyWorld();
    const seen = new Map<string, unknown[]>();
    for (const activity of ['spreadShard', 'completeVolume', 'awaitLoaded'] as const)
      into.before(activity, ([request]) => void seen.set(activity, [...(seen.get(activity) ?? []), request]));
    expect(await (await bringing(into)).result()).toMatchObject({ outcome: 'done', restored: { keys: KEYS } });
    const order = names(into);
    const [first, last] = [(name: string) => order.indexOf(name), (name: string) => order.lastIndexOf(name)];
    const times = (name: string) => order.filter((one) => one === name).length;
    expect([times('prepareVolume'), times('spreadShard'), times('completeVolume'), times('awaitLoaded')]).toEqual([
      SHARDS,
      3,
      SHARDS,
      SHARDS,
    ]);
    expect(last('prepareVolume')).toBeLessThan(first('spreadShard'));
    expect(last('spreadShard')).toBeLessThan(first('completeVolume'));
    expect(last('completeVolume')).toBeLessThan(first('ensureNode'));
    const starts = into.calls.flatMap((call, at) =>
      call.startsWith('ensureNode ') ? [{ name: call.slice('ensureNode '.length), at }] : [],
    );
    expect(
      starts
        .slice(0, SHARDS)
        .map(({ name }) => name)
        .toSorted(),
    ).toEqual(firstNodes(into));
    for (const { name, at } of starts.slice(SHARDS)) expect(at, name).toBeGreaterThan(last('awaitLoaded'));
    expect(starts[SHARDS - 1]?.at).toBeLessThan(first('awaitLoaded'));
    expect(first('awaitFormed')).toBeGreaterThan(last('ensureNode'));
    expect(first('acceptSpec')).toBeGreaterThan(last('awaitFormed'));
    for (const never of ['copyShard', 'fillShard', 'rewriteFiles', 'removeStrayPieces']) expect(order).not.toContain(never);

    const slots = evenSlotRanges(SHARDS).map(formatRange);
    const targets = firstNodes(into).map((name, shard) => ({ name, slots: slots[shard] }));
    const spread = seen.get('spreadShard') as { readonly functions: boolean; readonly source: { readonly shard: number } }[];
    for (const request of spread) expect(request).toMatchObject({ targets });
    expect(spread.map(({ source: { shard }, functions }) => [shard, functions]).toSorted()).toEqual([
      [0, true],
      [1, false],
      [2, false],
    ]);
    const [{ name: leader } = { name: '' }] = targets;
    const shares = [0, 1, 2].map((shard) => expect.objectContaining({ shard, attempt: 1, files: 1 }));
    for (const { name } of targets) {
      const whole = name === leader ? { bytes: 30, holds: { keys: KEYS, functions: 0 } } : { bytes: 0, holds: { keys: 0, functions: 0 } };
      expect(seen.get('completeVolume')).toContainEqual(expect.objectContaining({ name, shares: name === leader ? shares : [], whole }));
    }
    expect(seen.get('awaitLoaded')).toContainEqual(
      expect.objectContaining({ bytes: 30, source: { shard: 0, slots: slots[0], base: { keys: KEYS, functions: 0 } } }),
    );
    expect(await lockOf(into)).toBe('COMPLETED');
  });

  test('waits for the last volume, the last shard and the last list before it goes on', async () => {
    const into = emptyWorld();
    const volumes = into.hold('prepareVolume', SHARDS);
    const shards = into.hold('spreadShard', 3);
    const lists = into.hold('completeVolume', SHARDS);
    const handle = await bringing(into);
    const running = async () =>
      (await handle.query<Progress>(operationHandlers.progress)).steps.flatMap(({ name, state }) => (state === 'running' ? [name] : []));
    await volumes.reached;
    expect(await running()).toEqual(['make the volumes of the primaries']);
    volumes.release();
    await shards.reached;
    await until('one shard is left', async () => (await running()).length === 1);
    expect(names(into)).not.toContain('completeVolume');
    shards.release();
    await lists.reached;
    expect(await running()).toEqual([]);
    lists.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });

  test.each([{ include: ['*'] }, { ttl: 'shift' }])(
    'with %j has servers send the keys, for only they can tell which and until when',
    async (more) => {
      const into = emptyWorld();
      withKeys(into);
      expect(await (await bringing(into, more)).result()).toMatchObject({ outcome: 'done', restored: { keys: KEYS } });
      const order = names(into);
      expect(order.filter((name) => name === 'copyShard')).toHaveLength(3);
      expect(order.indexOf('awaitFormed')).toBeLessThan(order.indexOf('copyShard'));
      for (const never of ['prepareVolume', 'spreadShard', 'completeVolume', 'awaitLoaded']) expect(order).not.toContain(never);
    },
  );

  test('of a shard that only a server can take apart has servers send the keys, after all that was begun is removed', async () => {
    const into = emptyWorld();
    withKeys(into);
    into.strange.add(1);
    const there: number[] = [];
    into.before('ensureNode', () => void there.push(into.containers.size + into.volumes.size));
    expect(await (await bringing(into)).result()).toMatchObject({ outcome: 'done', restored: { keys: KEYS } });
    const order = names(into);
    expect(order.indexOf('removeNode')).toBeGreaterThan(order.lastIndexOf('spreadShard'));
    expect(order.lastIndexOf('removeNode')).toBeLessThan(order.indexOf('ensureNode'));
    expect(order.lastIndexOf('removeNode')).toBeLessThan(order.indexOf('copyShard'));
    expect(there[0]).toBe(0);
    expect(order.filter((name) => name === 'copyShard')).toHaveLength(3);
    for (const never of ['completeVolume', 'awaitLoaded']) expect(order).not.toContain(never);
    expect([into.containers.size, into.volumes.size, into.scratches.size]).toEqual([2 * SHARDS, 2 * SHARDS, 0]);
  });

  test('of a shard that only a server can take apart leaves nothing when it fails after all', async () => {
    const into = emptyWorld();
    into.strange.add(2);
    into.before('copyShard', () => broken());
    expect((await failureOf((await bringing(into)).result())).type).toBe(failures.hostFull);
    await requireNothing(into);
  });

  test.each(['prepareVolume', 'spreadShard', 'completeVolume'] as const)('that is cancelled in %s leaves nothing', async (activity) => {
    const into = emptyWorld();
    await leavesNothing(into, activity, () => bringing(into));
    expect(names(into)).not.toContain('ensureNode');
  });

  test.each([1, 2])('reads no more than %i of the shards at a time when it was told so', async (shardsAtOnce) => {
    const into = emptyWorld();
    const reading: PromiseWithResolvers<void>[] = [];
    into.before('spreadShard', () => {
      const one = Promise.withResolvers<void>();
      reading.push(one);
      return one.promise;
    });
    const handle = await bringing(into, { shardsAtOnce });
    for (let ended = 0; ended < 3; ended++) {
      const begun = Math.min(ended + shardsAtOnce, 3);
      await until(`${begun} are read`, async () => reading.length >= begun);
      const states = ({ steps }: Progress) => steps.flatMap(({ name, state }) => (name.startsWith('spread') ? [state] : []));
      const { length } = states(await progressOf(handle, (now) => states(now).filter((state) => state === 'done').length === ended)).filter(
        (state) => state === 'running',
      );
      expect([length, reading.length]).toEqual([begun - ended, begun]);
      reading[ended]?.resolve();
    }
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });

  test('of a damaged shard fails with that, and undoes all', async () => {
    const into = emptyWorld();
    into.damaged.add(1);
    const { type, message } = await failureOf((await bringing(into)).result());
    expect([type, message]).toEqual([failures.objectDamaged, expect.stringContaining('frame 0 does not open')]);
    for (const never of ['completeVolume', 'ensureNode', 'copyShard']) expect(names(into)).not.toContain(never);
    await requireNothing(into);
    expect(await lockOf(into)).toBe('COMPLETED');
  });
});

describe('a restore in place', () => {
  const inPlace = ({ world, backup }: Awaited<ReturnType<typeof standing>>, more: object = {}) =>
    bench.start(world, 'restore', { cluster: world.spec.name, backup, confirm: world.spec.name, ...more });
  const nodesOf = ({ world }: Awaited<ReturnType<typeof standing>>) => [...world.containers].toSorted();
  const requireBefore = async (world: World, nodes: readonly string[]) => {
    expect([...world.containers].toSorted()).toEqual(nodes);
    expect([world.replaced.size, world.barred.size, world.unfinished, world.refusesWrites]).toEqual([0, 0, undefined, false]);
    expect(await lockOf(world)).toBe('COMPLETED');
  };

  test.each([{ mode: 'cluster' }, { mode: 'sentinel' }] as const)(
    'in $mode mode backs up, verifies and holds what nobody can write to any more, stops every node before one gets other data, and lets applications in when all have it',
    async (changes) => {
      const found = await standing(changes);
      const { world, backup } = found;
      const nodes = nodesOf(found);
      const result = (await (await inPlace(found)).result()) as Awaited<ReturnType<Bench['execute']>>;
      const kept = result.restored?.before ?? '';
      expect(kept).not.toBe(backup);
      expect(await bench.read<BackupManifest>(world, 'showBackup', { backup: kept })).toMatchObject({
        hold: { reason: expect.stringContaining('in place') },
        verified: { how: 'loaded' },
      });
      expect([...world.containers].toSorted()).toEqual(nodes);
      expect([world.replaced.size, world.barred.size, world.unfinished]).toEqual([
        nodes.filter((name) => !name.includes('sentinel')).length,
        0,
        undefined,
      ]);
      const order = names(world);
      const [first, last] = [(name: string) => order.indexOf(name), (name: string) => order.lastIndexOf(name)];
      // What takes long does so while applications write; what they write goes into the backup until none can.
      expect(last('layOutBeside')).toBeLessThan(first('refuseWrites'));
      expect(first('refuseWrites')).toBeLessThan(first('backUpShard'));
      expect(last('verifyShard')).toBeLessThan(first('haltNode'));
      expect(last('requireWritesRefused')).toBeLessThan(first('barNode'));
      expect(world.refusesWrites).toBe(false);
      expect(last('barNode')).toBeLessThan(first('replaceData'));
      expect(last('replaceData')).toBeLessThan(first('ensureNode'));
      expect(last('awaitFormed')).toBeGreaterThan(last('awaitLoaded'));
      expect(first('applyUsers')).toBeGreaterThan(last('commitData'));
      expect(first('applyUsers')).toBeGreaterThan(last('ensureNode'));
    },
  );

  test('without the name typed once more is refused, and so is one with other shards; a plan stops nothing', async () => {
    const found = await standing();
    const { world, backup } = found;
    const refused = async (more: object) => (await failureOf((await inPlace(found, more)).result())).message;
    expect(await refused({ confirm: undefined })).toContain(`type its name once more (confirm: "${world.spec.name}")`);
    expect(await refused({ include: ['a*'] })).toContain('a part of the keys cannot take the place of all');
    expect(await refused({ changes: { shards: 4 } })).toContain('apply the spec afterwards');
    const { outcome, plan } = (await (await inPlace(found, { dryRun: true })).result()) as Awaited<ReturnType<Bench['execute']>>;
    expect([outcome, plan.refusals, plan.replaces]).toEqual(['planned', [], expect.stringContaining('is replaced')]);
    expect(names(world)).not.toContain('backUpShard');
    await bench.execute(world, 'scale', { cluster: world.spec.name, shards: 4 });
    expect(await refused({ backup })).toContain('it had 3 shards then, and has 4 now: restore into another name');
  });

  test.each(['requireWritesRefused', 'barNode', 'replaceData', 'awaitLoaded', 'awaitFormed'] as const)(
    'that fails in %s gives the cluster back what it had, and says where else that is',
    async (activity) => {
      const found = await standing();
      const nodes = nodesOf(found);
      let failed = false;
      found.world.before(activity, () => {
        if (failed) return; // putting back needs some of them, too
        failed = true;
        broken();
      });
      const { message } = await failureOf((await inPlace(found)).result());
      expect(message).toMatch(/the disk is full[\s\S]*what it had before is backup \d{8}T\d{6}Z-[0-9a-f]{8}, which is held/);
      await requireBefore(found.world, nodes);
    },
  );

  test.each(['layOutBeside', 'refuseWrites', 'backUpShard', 'verifyShard'] as const)(
    'that fails in %s leaves the cluster as it is, and it takes writes again',
    async (activity) => {
      const found = await standing();
      const { world } = found;
      const nodes = nodesOf(found);
      world.before(activity, () => broken());
      const { message } = await failureOf((await inPlace(found)).result());
      expect(message).toContain('the disk is full');
      expect(message).not.toContain('which is held');
      expect(names(world)).not.toContain('haltNode');
      await requireBefore(world, nodes);
    },
  );

  test('whose cluster took writes again while it was backed up replaces nothing', async () => {
    const found = await standing();
    const { world } = found;
    const nodes = nodesOf(found);
    world.before('verifyShard', () => {
      world.refusesWrites = false; // a server was started anew
    });
    expect((await failureOf((await inPlace(found)).result())).message).toContain('somebody may have written');
    expect(names(world)).not.toContain('replaceData');
    await requireBefore(world, nodes);
  });

  test('that was terminated when it had only refused writes is told as that, and a plan or the same again lets them in', async () => {
    const found = await standing();
    const { world } = found;
    world.refusesWrites = true;
    const { verdict, findings } = await bench.read<StatusReport>(world, 'status');
    expect([verdict, findings[0]?.code, findings[0]?.next]).toEqual([
      'down',
      'writes-refused',
      expect.stringContaining('the same restore again'),
    ]);
    expect(await bench.execute(world, 'configure', { spec: world.spec })).toMatchObject({ outcome: 'done' });
    expect(world.refusesWrites).toBe(false);
    world.refusesWrites = true;
    expect(await (await inPlace(found)).result()).toMatchObject({ outcome: 'done' });
    expect(world.refusesWrites).toBe(false);
  });

  test.each(['layOutBeside', 'refuseWrites', 'verifyShard', 'haltNode', 'replaceData', 'awaitLoaded'] as const)(
    'that is cancelled in %s gives the cluster back what it had',
    async (activity) => {
      const found = await standing();
      const nodes = nodesOf(found);
      const holding = found.world.hold(activity);
      const handle = await inPlace(found);
      await holding.reached;
      await handle.cancel();
      holding.release();
      await expect(handle.result()).rejects.toThrow();
      await requireBefore(found.world, nodes);
    },
  );

  test('locks the cluster for every other operation', async () => {
    const found = await standing();
    const holding = found.world.hold('layOutBeside');
    const handle = await inPlace(found);
    await holding.reached;
    expect((await failureOf(bench.execute(found.world, 'backup'))).type).toBe(failures.clusterBusy);
    holding.release();
    expect(await handle.result()).toMatchObject({ outcome: 'done' });
  });

  test('that was terminated is told as that, and until it is put in order nothing else touches the cluster', async () => {
    const found = await standing();
    const { world } = found;
    world.unfinished = { replacement: 'abcd', leaders: [`${world.spec.name}-0-0`] };
    for (const name of nodesOf(found)) world.barred.add(name);
    const next = `holdfast restore ${world.spec.name} --latest, without --into: it puts back what the cluster had before`;
    const { verdict, headline, findings } = await bench.read<StatusReport>(world, 'status');
    expect([verdict, headline]).toEqual(['down', expect.stringContaining('a restore of it in place began and never ended')]);
    expect(findings[0]).toMatchObject({ severity: 'critical', code: 'half-replaced', next: expect.stringContaining(next) });
    world.calls.length = 0;
    const { spec } = world;
    const cluster = { cluster: spec.name };
    const inputs = { provision: { spec }, configure: { spec }, scale: { ...cluster, shards: 4 }, rebalance: cluster, backup: cluster };
    for (const operation of Object.keys(inputs) as (keyof typeof inputs)[]) {
      const failure = await failureOf(bench.execute(world, operation, inputs[operation]));
      expect({ operation, ...failure }).toMatchObject({ operation, type: failures.refused, message: expect.stringContaining(next) });
    }
    expect(names(world).filter((name) => /^(ensure|apply|start|move|backUp|accept)/.test(name ?? ''))).toEqual([]);
    expect(await (await inPlace(found)).result()).toMatchObject({ outcome: 'done' });
    expect(await bench.execute(world, 'rebalance')).toMatchObject({ outcome: 'unchanged' });
  });

  test('after one that was terminated puts back what was before, and ends one that had all its data', async () => {
    const found = await standing();
    const { world } = found;
    const nodes = nodesOf(found);
    world.unfinished = { replacement: 'abcd', leaders: [`${world.spec.name}-0-0`] };
    for (const name of nodes) world.barred.add(name);
    world.containers.clear();
    expect(await (await inPlace(found)).result()).toMatchObject({ outcome: 'done', summary: expect.stringContaining('is put back') });
    await requireBefore(world, nodes);
    world.calls.length = 0;
    world.unfinished = { replacement: 'abcd', leaders: [], committed: true };
    expect(await (await inPlace(found)).result()).toMatchObject({ outcome: 'done', summary: expect.stringContaining('it is ended') });
    expect(names(world)).toContain('applyUsers');
    expect(names(world)).not.toContain('haltNode');
    await requireBefore(world, nodes);
  });
});

describe('a drill', () => {
  const drilling = async (more: object = {}) => {
    const { world } = await standing({ replicasPerShard: 1 });
    const scratch = bench.world({ name: drillName(world.spec.name), replicasPerShard: 0, pitr: { enabled: false } });
    const start = () => bench.start(scratch, 'drill', { cluster: world.spec.name, ...more });
    const told = async () => (await bench.read<StatusReport>(world, 'status')).drill;
    return { world, scratch, start, told };
  };

  test('leaves nothing but its report, and no keeper ever hears of it', async () => {
    const { scratch, start, told } = await drilling();
    expect(await (await start()).result()).toMatchObject({ outcome: 'done', restored: { keys: 163_840 } });
    await requireNothing(scratch);
    expect(names(scratch)).not.toContain('acceptSpec');
    expect(await told()).toMatchObject({ ok: true, keys: 163_840 });
  });

  test('that fails is recorded as that, and leaves nothing', async () => {
    const { scratch, start, told } = await drilling();
    scratch.before('awaitLoaded', () => broken());
    expect((await failureOf((await start()).result())).type).toBe(failures.hostFull);
    await requireNothing(scratch);
    expect(await told()).toMatchObject({ ok: false, summary: expect.stringContaining('the disk is full') });
  });

  test('that is cancelled, or only planned, is none: nothing is recorded', async () => {
    const { scratch, start, told } = await drilling();
    const holding = scratch.hold('fillShard');
    const handle = await start();
    await holding.reached;
    expect((await failureOf((await start()).result())).type).toBe(failures.clusterBusy);
    await handle.cancel();
    await expect(handle.result()).rejects.toThrow();
    await requireNothing(scratch);
    holding.release();
    const planned = await bench.execute(scratch, 'drill', { cluster: scratch.spec.name.replace(/-drill$/, ''), dryRun: true });
    expect(planned.outcome).toBe('planned');
    await requireNothing(scratch);
    expect(await told()).toBeUndefined();
  });
});
