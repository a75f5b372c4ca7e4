import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { type OperationInput, rebalanceInput, scaleInput } from '../../config/operations.ts';
import type { Plan } from '../../config/progress.ts';
import { nodeIdOf, placesOf } from '../../model/layout.ts';
import { type Leaving, type SentinelWord, whyNotEmptied, whyNotForgotten, whyNotRetired } from '../../model/leaving.ts';
import { slotsOf } from '../../model/migration/moves.ts';
import type { Closing } from '../../model/migration/open-slots.ts';
import { ownersOf } from '../../model/migration/planned-moves.ts';
import { shardsNow } from '../../model/migration/shards-now.ts';
import { type BigKeyScan, noScan, type SlotSurvey } from '../../model/migration/survey.ts';
import type { Observation } from '../../model/observation.ts';
import { moveStep, movesOfRebalance, planRebalance } from '../../model/plan-rebalance.ts';
import { planRepair, repairStep } from '../../model/plan-repair.ts';
import { movesOfScale, planScale, type ScalePlan, scaleSteps } from '../../model/plan-scale.ts';
import { maxmemoryOf } from '../../model/server-conf.ts';
import { countSlots, evenSlotRanges, SLOTS } from '../../model/slots.ts';
import {
  anySpec,
  CLUSTER_ID,
  healthyObservation,
  knownAs,
  sentinelSpec,
  silenced,
  specOf,
  subnetOf,
  withContainer,
  withMembers,
  withNode,
  withoutNodes,
  withSentinel,
} from './model-observations.ts';

const MIB = 1024 ** 2;
const names = (plan: Plan) => plan.steps.map((step) => step.name);
const idOf = (name: string) => nodeIdOf(CLUSTER_ID, name);

/** What is in the slots: ten keys of 100 bytes in each, unless told otherwise. */
const surveyOf = (spec: ClusterSpec, changes: Partial<SlotSurvey> = {}): SlotSurvey => ({
  keys: new Array<number>(SLOTS).fill(10),
  bytesFrom: 'average',
  bytesPerKey: new Array<number>(spec.shards).fill(100),
  memory: new Array(spec.shards).fill({ used: 5 * MIB, max: maxmemoryOf(spec) }),
  ...changes,
});
/** A scan that found one key of 100 MiB. */
const bigKey: BigKeyScan = {
  looked: 10,
  keys: 10,
  big: [{ key: 'cart:{42}', slot: 8000, shard: 1, bytes: 100 * MIB }],
  bigCount: 1,
  careful: '8000',
};

interface Given {
  readonly spec?: ClusterSpec;
  readonly seen?: Observation;
  readonly survey?: Partial<SlotSurvey>;
  readonly scan?: BigKeyScan;
}

const scale = (
  input: Omit<OperationInput<'scale'>, 'cluster'>,
  { spec = specOf(), seen = healthyObservation(spec), survey = {}, scan = noScan }: Given = {},
): ScalePlan => {
  const parsed = scaleInput.parse({ cluster: spec.name, ...input });
  const known = knownAs(spec);
  const moves = movesOfScale(spec, known, parsed, seen);
  const looked = moves.length === 0 ? {} : { survey: surveyOf(spec, survey) };
  return planScale(spec, known, parsed, { observation: seen, ...looked }, moves, scan);
};
const rebalance = (
  input: Omit<OperationInput<'rebalance'>, 'cluster'>,
  { spec = specOf(), seen = healthyObservation(spec), survey = {}, scan = noScan }: Given = {},
) => {
  const parsed = rebalanceInput.parse({ cluster: spec.name, ...input });
  const known = knownAs(spec);
  const all = { observation: seen, survey: surveyOf(spec, survey) };
  return planRebalance(spec, known, parsed, all, movesOfRebalance(spec, known, parsed, all), scan);
};

/** A healthy cluster whose first shard has so many of the second one's slots. */
const lopsided = (spec: ClusterSpec, slots = 1000): Observation => {
  const [first, second] = evenSlotRanges(spec.shards);
  if (first === undefined || second === undefined) throw new Error('too few shards');
  return withMembers(healthyObservation(spec), (member) =>
    member.nodeId === idOf(`${spec.name}-0-0`)
      ? { ...member, slots: [[first[0], first[1] + slots]] }
      : member.nodeId === idOf(`${spec.name}-1-0`)
        ? { ...member, slots: [[second[0] + slots, second[1]]] }
        : member,
  );
};
/** A member that no spec knows. */
const withStranger = (seen: Observation): Observation => ({
  ...seen,
  views: seen.views.map((view) => ({
    ...view,
    members: [
      ...view.members,
      { nodeId: 'f'.repeat(40), address: '10.9.9.9', role: 'primary', primaryId: '', epoch: 9, slots: [], flags: [] },
    ],
  })),
});
/** The roles of the two first nodes of a shard are swapped, as after a failover. */
const failedOver = (spec: ClusterSpec, shard: number): Observation => {
  const [old, now] = [`${spec.name}-${shard}-0`, `${spec.name}-${shard}-1`];
  const slots = evenSlotRanges(spec.shards)[shard];
  const seen = withNode(
    withNode(healthyObservation(spec), old, { role: 'replica', replication: { offset: 1000, linkUp: true, replicas: 0 } }),
    now,
    {
      role: 'primary',
      replication: { offset: 1000, replicas: spec.replicasPerShard },
    },
  );
  return withMembers(seen, (member) =>
    member.nodeId === idOf(now)
      ? { ...member, role: 'primary', primaryId: '', slots: slots === undefined ? [] : [slots] }
      : member.nodeId === idOf(old) || member.primaryId === idOf(old)
        ? { ...member, role: 'replica', primaryId: idOf(now), slots: [] }
        : member,
  );
};

/** Every size that a person may ask for. */
const sizes = fc.record({
  spec: anySpec(8).filter((spec) => spec.mode === 'cluster'),
  shards: fc.option(fc.integer({ min: 3, max: 12 }), { nil: undefined }),
  replicasPerShard: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
});
const roomy = (spec: ClusterSpec): Observation => {
  const seen = healthyObservation(spec);
  return { ...seen, network: { name: 'n', subnet: '10.0.0.0/16', clusterId: CLUSTER_ID } };
};

describe('planning a scale', () => {
  test('to the size that it has gives no steps and no refusals, for any spec', () => {
    fc.assert(
      fc.property(anySpec(8), (spec) => {
        const { memory, cpus } = spec.resources;
        const same = { shards: spec.shards, replicasPerShard: spec.replicasPerShard, resources: { memory, cpus } };
        expect(scale(same, { spec })).toMatchObject({ steps: [], refusals: [], slotMoves: [], newNodes: [], leavingNodes: [] });
      }),
      { numRuns: 50 },
    );
  });

  test('to any other size has each step once, makes and removes exactly what differs, and accepts the new spec once', () => {
    fc.assert(
      fc.property(sizes, ({ spec, shards, replicasPerShard }) => {
        fc.pre(shards !== undefined || replicasPerShard !== undefined);
        const plan = scale({ shards, replicasPerShard }, { spec, seen: roomy(spec) });
        const after = { ...spec, shards: shards ?? spec.shards, replicasPerShard: replicasPerShard ?? spec.replicasPerShard };
        expect(plan.newSpec).toEqual(after);
        const [had, wanted] = [placesOf(spec), placesOf(after)].map((places) => new Set(places.map(({ name }) => name)));
        expect(plan.newNodes.map(({ name }) => name)).toEqual([...(wanted ?? [])].filter((name) => had?.has(name) !== true));
        expect(plan.leavingNodes.map(({ name }) => name).sort()).toEqual(
          [...(had ?? [])].filter((name) => wanted?.has(name) !== true).sort(),
        );
        expect(new Set(names(plan)).size).toBe(plan.steps.length);
        const mixed = plan.newNodes.length > 0 && plan.leavingNodes.length > 0;
        expect(plan.refusals.filter((one) => one.includes('in one operation'))).toHaveLength(mixed ? 1 : 0);
        if (mixed) return;
        expect(plan.refusals).toEqual([]);
        const changes = plan.newNodes.length + plan.leavingNodes.length > 0;
        expect(names(plan).filter((name) => name === scaleSteps.accept)).toHaveLength(changes ? 1 : 0);
      }),
      { numRuns: 100 },
    );
  });

  test('leaves every shard with an even share, and those that leave with nothing', () => {
    fc.assert(
      fc.property(sizes, ({ spec, shards = 3 }) => {
        const seen = roomy(spec);
        const plan = scale({ shards }, { spec, seen });
        const owners = [...ownersOf(shardsNow(plan.larger, CLUSTER_ID, seen))];
        for (const { from, to, slots } of plan.slotMoves) {
          for (const slot of slotsOf(slots)) {
            expect(owners[slot]).toBe(from);
            owners[slot] = to;
          }
        }
        const counts = Array.from({ length: plan.larger.shards }, () => 0);
        for (const owner of owners) counts[owner] = (counts[owner] ?? 0) + 1;
        expect(counts.slice(shards).every((count) => count === 0)).toBe(true);
        expect(Math.max(...counts.slice(0, shards)) - Math.min(...counts.slice(0, shards))).toBeLessThanOrEqual(1);
        expect((plan.moves ?? []).reduce((sum, row) => sum + row.slots, 0)).toBe(
          plan.slotMoves.reduce((sum, move) => sum + countSlots(move.slots), 0),
        );
      }),
      { numRuns: 50 },
    );
  });

  test('out: nodes first, then the new spec, and slots when it holds', () => {
    const plan = scale({ shards: 4 });
    expect(names(plan)).toEqual([
      'find image',
      'start orders-3-0',
      'start orders-3-1',
      'join the cluster',
      'hand the spec to the keeper',
      moveStep,
    ]);
    expect(plan.summary).toBe('orders: 3 -> 4 shards, while it serves');
    expect(plan.moves).toEqual(
      [0, 1, 2].map((from) => expect.objectContaining({ from, to: 3, slots: expect.any(Number), keys: expect.any(Number) })),
    );
    const [row] = plan.moves ?? [];
    expect(row).toMatchObject({ keys: (row?.slots ?? 0) * 10, bytes: (row?.slots ?? 0) * 1000 });
    expect(plan.steps.at(-1)?.change).toContain(`${row?.slots} from shard 0 to 3 (${row?.ranges})`);
  });

  test('in: slots first, then the nodes, replicas before primaries, and the new spec at the end', () => {
    const spec = specOf({ shards: 5 });
    const plan = scale({ shards: 3 }, { spec });
    expect(names(plan)).toEqual([
      moveStep,
      scaleSteps.emptied,
      scaleSteps.forget,
      'remove orders-3-0',
      'remove orders-3-1',
      'remove orders-4-0',
      'remove orders-4-1',
      scaleSteps.accept,
    ]);
    expect(plan.leavingNodes.map(({ name }) => name)).toEqual(['orders-3-1', 'orders-4-1', 'orders-3-0', 'orders-4-0']);
    expect(plan).toMatchObject({ leavingShards: [3, 4], larger: spec, promotions: [] });
  });

  test('of replicas moves no slots', () => {
    expect(names(scale({ replicasPerShard: 2 }))).toEqual([
      'find image',
      ...['start orders-0-2', 'start orders-1-2', 'start orders-2-2'],
      'join the cluster',
      'hand the spec to the keeper',
    ]);
    const spec = specOf({ replicasPerShard: 2 });
    expect(names(scale({ replicasPerShard: 1 }, { spec }))).toEqual([
      scaleSteps.forget,
      ...['remove orders-0-2', 'remove orders-1-2', 'remove orders-2-2'],
      scaleSteps.accept,
    ]);
  });

  test('of replicas lets one that stays take over, where the one that leaves is the primary: the one that is furthest', () => {
    const spec = specOf({ replicasPerShard: 3 });
    const seen = withNode(failedOver(spec, 1), 'orders-1-2', { replication: { offset: 2000, linkUp: true, replicas: 0 } });
    expect(scale({ replicasPerShard: 2 }, { spec, seen })).toMatchObject({ promotions: [], refusals: [] });
    const plan = scale({ replicasPerShard: 0 }, { spec, seen });
    expect(plan).toMatchObject({ promotions: ['orders-1-0'], refusals: [] });
    expect(names(plan).indexOf(scaleSteps.promote('orders-1-0'))).toBeLessThan(names(plan).indexOf(scaleSteps.forget));
    expect(plan.leavingNodes.at(-1)?.name).toBe('orders-1-1');
  });

  test('of memory and CPUs is what configure does, and a new spec', () => {
    expect(names(scale({ resources: { memory: '512Mi', cpus: 2 } }))).toEqual([
      'set container limits',
      'set server parameters',
      'hand the spec to the keeper',
    ]);
    expect(names(scale({ resources: { memory: '128Mi' } }))).toEqual([
      'set server parameters',
      'set container limits',
      'hand the spec to the keeper',
    ]);
  });

  test('of memory and shards at once gives the memory first: the new nodes have it from the start', () => {
    const plan = scale({ shards: 4, resources: { memory: '512Mi' } });
    expect(plan.refusals).toEqual([]);
    expect(names(plan).slice(0, 3)).toEqual(['set container limits', 'set server parameters', 'find image']);
    expect(plan.steps.find(({ name }) => name === 'start orders-3-0')?.change).toContain('512Mi of memory');
  });

  test('takes up what an operation left that somebody terminated before the new spec was accepted', () => {
    const [spec, larger] = [specOf(), specOf({ shards: 4 })];
    const seen = withMembers(
      { ...healthyObservation(larger), network: healthyObservation(spec).network ?? { name: '', subnet: '', clusterId: '' } },
      (member) => {
        const shard = placesOf(spec).find(({ name }) => idOf(name) === member.nodeId)?.shard;
        const range = evenSlotRanges(3)[shard ?? 3];
        return member.role === 'replica' ? member : { ...member, slots: range === undefined ? [] : [range] };
      },
    );
    const plan = scale({ shards: 4 }, { spec, seen });
    expect(plan.refusals).toEqual([]);
    expect(names(plan)).toContain('start orders-3-0');
  });

  test('to the shards that it has goes on with a move that was cancelled, when nothing else is asked for', () => {
    const spec = specOf({ shards: 4 });
    const seen = lopsided(spec);
    const plan = scale({ shards: 4 }, { spec, seen });
    expect(plan).toMatchObject({
      refusals: [],
      accepts: false,
      summary: 'orders: an even share of the slots for each shard, while it serves',
    });
    expect(names(plan)).toEqual([moveStep]);
    expect(plan.moves).toEqual([expect.objectContaining({ from: 0, to: 1, slots: 1000 })]);
    expect(scale({ shards: 4 }, { spec, seen: lopsided(spec, 50) }).steps).toEqual([]);
    expect(scale({ shards: 4 }, { spec, seen: withStranger(seen) }).refusals).toHaveLength(1);
    // Weights that somebody gave to the shards stay when something else is asked for.
    for (const other of [{ replicasPerShard: 2 }, { shards: 4, replicasPerShard: 2 }, { resources: { cpus: 2 } }])
      expect(scale(other, { spec, seen }).slotMoves).toEqual([]);
  });

  test('in finishes what an operation left that forgot nodes and did not come to its end', () => {
    const spec = specOf({ shards: 4 });
    const three = specOf({ shards: 3 });
    const forgotten = {
      ...healthyObservation(spec),
      views: [
        ...healthyObservation(three).views,
        { digest: 'old', seenBy: ['orders-3-0', 'orders-3-1'], members: healthyObservation(spec).views[0]?.members ?? [] },
      ],
    };
    for (const seen of [
      forgotten,
      withoutNodes(forgotten, ['orders-3-1'], true),
      withoutNodes(forgotten, ['orders-3-0', 'orders-3-1'], true),
    ]) {
      const plan = scale({ shards: 3 }, { spec, seen });
      expect(plan).toMatchObject({ refusals: [], slotMoves: [] });
      expect(names(plan)).toEqual([scaleSteps.emptied, scaleSteps.forget, 'remove orders-3-0', 'remove orders-3-1', scaleSteps.accept]);
      expect(scale({ shards: 3 }, { spec, seen: withNode(seen, 'orders-0-0', { clusterState: 'fail' }) }).refusals).toHaveLength(1);
    }
  });

  test('in finishes it, too, when more nodes leave than stay: those that stay say who was forgotten', () => {
    const [spec, three] = [specOf({ shards: 8 }), specOf({ shards: 3 })];
    const [all, staying] = [healthyObservation(spec), healthyObservation(three)];
    const leave = (name: string) => Number(name.split('-')[1]) >= 3;
    const left = withMembers(all, (member) => {
      const index = staying.views[0]?.members.findIndex(({ nodeId }) => nodeId === member.nodeId) ?? -1;
      return { ...member, slots: staying.views[0]?.members[index]?.slots ?? [] };
    });
    const seen = {
      ...left,
      views: [...left.views.map((view) => ({ ...view, seenBy: view.seenBy.filter(leave) })), ...staying.views],
    };
    expect(seen.views.map(({ seenBy }) => seenBy.length)).toEqual([10, 6]);
    const plan = scale({ shards: 3 }, { spec, seen });
    expect(plan).toMatchObject({ refusals: [], slotMoves: [] });
    expect(plan.leavingNodes).toHaveLength(10);
    expect(scale({ shards: 3 }, { spec, seen: withNode(seen, 'orders-0-0', { clusterState: 'fail' }) }).refusals).toHaveLength(1);
  });

  test('in does not take a member that is away for one that was forgotten', () => {
    const spec = specOf({ shards: 4 });
    const seen = withoutNodes(healthyObservation(spec), ['orders-3-1'], false);
    expect(scale({ shards: 3 }, { spec, seen }).refusals.join()).toContain('orders-3-1: it has no container');
  });

  test('of a sentinel cluster knows replicas and resources', () => {
    const spec = sentinelSpec();
    expect(names(scale({ replicasPerShard: 2 }, { spec }))).toEqual([
      'find image',
      'start orders-0-2',
      'join the cluster',
      scaleSteps.accept,
    ]);
    const two = sentinelSpec({ replicasPerShard: 2 });
    expect(names(scale({ replicasPerShard: 1 }, { spec: two }))).toEqual(['remove orders-0-2', scaleSteps.sentinels, scaleSteps.accept]);
    expect(names(scale({ shards: 1, resources: { cpus: 2 } }, { spec }))).toEqual(['set container limits', scaleSteps.accept]);
  });

  describe('of a sentinel cluster, after one that did not come to its end,', () => {
    const spec = sentinelSpec({ replicasPerShard: 3 });
    const healthy = healthyObservation(spec);
    const told = (seen: Observation, replicas: number) =>
      seen.sentinels.reduce((all, { name }) => withSentinel(all, name, { replicas }), seen);
    const replicas = (seen: Observation, online: number) => withNode(seen, 'orders-0-0', { replication: { offset: 1, replicas: online } });
    const rest = ['remove orders-0-2', 'remove orders-0-3', scaleSteps.sentinels, scaleSteps.accept];

    test.each<[string, Observation]>([
      ['a node is gone and the sentinels still count it', replicas(withoutNodes(healthy, ['orders-0-2'], true), 2)],
      ['a node is gone, its volume is not', replicas(withoutNodes(healthy, ['orders-0-2'], false), 2)],
      [
        'a node was only stopped',
        replicas(
          {
            ...withoutNodes(healthy, ['orders-0-2'], false),
            containers: withContainer(healthy, 'orders-0-2', { state: 'exited' }).containers,
          },
          2,
        ),
      ],
      ['a node does not answer', silenced(healthy, 'orders-0-3')],
      [
        'all are gone and some sentinels know it',
        withSentinel(replicas(withoutNodes(healthy, ['orders-0-2', 'orders-0-3'], true), 1), 'orders-sentinel-1', { replicas: 1 }),
      ],
      ['all are gone and all sentinels know it', told(replicas(withoutNodes(healthy, ['orders-0-2', 'orders-0-3'], true), 1), 1)],
    ])('goes on where %s', (_, seen) => {
      const plan = scale({ replicasPerShard: 1 }, { spec, seen });
      expect(plan.refusals).toEqual([]);
      expect(names(plan)).toEqual(rest);
    });

    test('takes up new nodes that the sentinels know already', () => {
      const two = sentinelSpec({ replicasPerShard: 1 });
      const plan = scale({ replicasPerShard: 3 }, { spec: two, seen: silenced(healthy, 'orders-0-3') });
      expect(plan.refusals).toEqual([]);
      expect(plan.newNodes.map(({ name }) => name)).toEqual(['orders-0-2', 'orders-0-3']);
    });

    test.each<[string, Observation, string]>([
      ['a node that stays is gone', withoutNodes(healthy, ['orders-0-1'], false), 'orders-0-1: it has no container'],
      ['the primary has no replica that stays', replicas(healthy, 0), 'it has 0 online replicas'],
      ['a sentinel knows of fewer', told(healthy, 0), 'it knows 0 replicas'],
      [
        'a sentinel watches another',
        withSentinel(healthy, 'orders-sentinel-0', { primaryAddress: '10.0.0.9' }),
        'which is not the primary',
      ],
      [
        'a node that leaves says that it is the primary, too',
        withNode(healthy, 'orders-0-3', { role: 'primary' }),
        'orders-0-0, orders-0-3',
      ],
    ])('is refused where %s', (_, seen, reason) => {
      expect(scale({ replicasPerShard: 1 }, { spec, seen }).refusals.join()).toContain(reason);
    });
  });

  test('has the same digest whatever is in the slots', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), fc.integer({ min: 1, max: 300 }), (keys, bytes) => {
        const counted = scale({ shards: 4 }, { survey: { keys: new Array<number>(SLOTS).fill(keys), bytesPerKey: [bytes, bytes, bytes] } });
        const { steps, refusals } = scale({ shards: 4 });
        expect({ steps: counted.steps, refusals: counted.refusals }).toEqual({ steps, refusals });
      }),
      { numRuns: 20 },
    );
  });

  describe('is refused', () => {
    const refusals = (...its: Parameters<typeof scale>) => scale(...its).refusals.join('\n');

    test('when shards and replicas go into different directions', () => {
      expect(refusals({ shards: 4, replicasPerShard: 0 })).toContain('shards and replicas cannot go up and down in one operation');
      expect(refusals({ shards: 3, replicasPerShard: 2 }, { spec: specOf({ shards: 4 }) })).toContain('up and down in one operation');
      expect(refusals({ shards: 4, replicasPerShard: 2 })).toBe('');
      expect(refusals({ shards: 3, replicasPerShard: 0 }, { spec: specOf({ shards: 4 }) })).toBe('');
    });

    test('when memory goes down while nodes come or go', () => {
      const down = { resources: { memory: '128Mi' } };
      expect(refusals({ shards: 4, ...down })).toContain('memory cannot go down while nodes come or go');
      expect(refusals({ replicasPerShard: 0, ...down })).toContain('memory cannot go down while nodes come or go');
      expect(refusals(down)).toBe('');
    });

    test('below three shards, and with more nodes than a cluster bears', () => {
      expect(refusals({ shards: 2 })).toContain('a cluster needs at least 3 shards');
      expect(refusals({ shards: 500, replicasPerShard: 5 })).toContain('3000 nodes are more than the 1000');
    });

    test('when the host has no room for the new nodes, for those that are not there yet', () => {
      const spec = specOf();
      const healthy = healthyObservation(spec);
      const full = { ...healthy, host: { ...healthy.host, memoryBytes: healthy.host.promisedBytes + 512 * MIB } };
      expect(refusals({ shards: 4 }, { seen: full })).toBe('');
      expect(refusals({ shards: 5 }, { seen: full })).toContain('has 512 MiB of memory left to promise, and this needs 1024 MiB');
      expect(refusals({ shards: 4, resources: { memory: '512Mi' } }, { seen: full })).toContain('this needs 2560 MiB');
    });

    test('when the network has too few addresses', () => {
      const spec = specOf({ shards: 3 });
      const seen = healthyObservation(spec);
      expect(seen.network?.subnet).toBe(subnetOf(spec));
      expect(refusals({ shards: 5 }, { seen })).toBe('');
      expect(refusals({ shards: 6 }, { seen })).toContain('has too few addresses for 6 shards');
    });

    test('when a big key would move, and by "move" is not', () => {
      expect(refusals({ shards: 4 }, { scan: bigKey })).toContain('cart:{42} (slot 8000, 100 MiB)');
      expect(refusals({ shards: 4, bigKeys: 'move' }, { scan: bigKey })).toBe('');
      expect(scale({ shards: 4, bigKeys: 'move' }, { scan: bigKey }).summary).toMatch(
        /a key above limits.maxKeyBytes .* may stall .*: \S+ \(slot \d+,/,
      );
      const hurried = { ...bigKey, big: [], bigCount: 0, looked: 900, keys: 1000 };
      expect(scale({ shards: 4 }, { scan: hurried }).summary).toContain('among 900 of 1000 keys; the others are measured while they move');
      expect(scale({ shards: 4 }, { scan: { ...hurried, looked: 999 } }).summary).not.toContain('large keys');
    });

    test('when a key would have a container killed that takes or sends it, whatever else is said, and with more memory is not', () => {
      const slot = scale({ shards: 4 }).slotMoves.find(({ from }) => from === 1)?.slots[0]?.[0] ?? 0;
      const found = (bytes: number) => ({ ...bigKey, big: [{ key: 'cart:{42}', slot, shard: 1, bytes }] });
      const given = { scan: found(65 * MIB) };
      expect(refusals({ shards: 4, bigKeys: 'move' }, given)).toMatch(
        /cart:\{42\} \(slot \d+\) has 65 MiB, and shard 3 holds it 5 times while it takes it: 26\d MiB with the rest, of 256 MiB/,
      );
      expect(refusals({ shards: 4, limits: { maxKeyBytes: 2 ** 30 } }, { scan: { ...found(65 * MIB), bigCount: 0 } })).toContain(
        'holds it 5',
      );
      expect(refusals({ shards: 4, bigKeys: 'move', resources: { memory: '1Gi' } }, given)).toBe('');
      const memory = [5, 150, 5].map((used) => ({ used: used * MIB, max: 2 ** 30 }));
      expect(refusals({ shards: 4, bigKeys: 'move' }, { scan: found(55 * MIB), survey: { memory } })).toMatch(
        /shard 1 holds it 3 times while it sends it: 260 MiB with the rest, of 256 MiB/,
      );
      const spec = specOf({ shards: 3 });
      const moves = [{ from: 1, to: 2, slots: String(slot) }];
      expect(rebalance({ moves, bigKeys: 'move' }, { spec, scan: found(65 * MIB) }).refusals.join()).toContain('shard 2 holds it 5 times');
      expect(rebalance({ moves, bigKeys: 'move' }, { spec, scan: found(60 * MIB) }).refusals).toEqual([]);
    });

    test('when the data would not fit into the shards that stay, and with more memory is not', () => {
      const spec = specOf({ shards: 4 });
      const full = { memory: new Array(4).fill({ used: 150 * MIB, max: 192 * MIB }), bytesPerKey: new Array<number>(4).fill(4000) };
      expect(refusals({ shards: 3 }, { spec, survey: full })).toContain('of 192 MiB, more than 90 %');
      expect(refusals({ shards: 3, resources: { memory: '1Gi' } }, { spec, survey: full })).toBe('');
    });

    test.each<[string, (seen: Observation) => Observation, string]>([
      ['a node is gone', (seen) => withoutNodes(seen, ['orders-1-1'], false), 'orders-1-1: it has no container'],
      ['a node is silent', (seen) => silenced(seen, 'orders-1-1'), 'orders-1-1: it does not answer'],
      ['a slot is open', (seen) => withNode(seen, 'orders-0-0', { openSlots: ['[1->-a]'] }), 'Next: holdfast repair orders'],
      [
        'a replica has no link',
        (seen) => withNode(seen, 'orders-0-1', { replication: { offset: 1, replicas: 0, linkUp: false } }),
        'orders-0-1: its link',
      ],
      [
        'a primary says that the cluster is not ok',
        (seen) => withNode(seen, 'orders-2-0', { clusterState: 'fail' }),
        'cluster_state is not ok',
      ],
      ['nodes do not agree', (seen) => ({ ...seen, views: [...seen.views, ...seen.views] }), 'sees other members'],
      ['somebody is a member whom no spec knows', withStranger, '10.9.9.9 is a member that no spec knows'],
    ])('when %s', (_, change, reason) => {
      for (const input of [{ shards: 4 }, { replicasPerShard: 2 }, { replicasPerShard: 0 }])
        expect(refusals(input, { seen: change(healthyObservation(specOf())) })).toContain(reason);
    });

    test('not when memory is full: that may be why it is asked for', () => {
      const seen = withNode(healthyObservation(specOf()), 'orders-0-0', { memoryUsedBytes: 180 * MIB });
      expect(refusals({ shards: 4 }, { seen })).toBe('');
    });

    test('when a primary would leave, and no replica that stays is in sync', () => {
      const spec = specOf({ replicasPerShard: 1 });
      const cut = withNode(failedOver(spec, 2), 'orders-2-0', { replication: { offset: 1, replicas: 0, linkUp: false } });
      expect(refusals({ replicasPerShard: 0 }, { spec, seen: cut })).toContain('orders-2-1 would leave as primary');
    });

    test('when a primary would leave whose shard has no slots: the servers hold no election there', () => {
      const spec = specOf({ shards: 4, replicasPerShard: 2 });
      const [first] = evenSlotRanges(4);
      const empty = withMembers(failedOver(spec, 3), (member) =>
        member.nodeId === idOf('orders-3-1')
          ? { ...member, slots: [] }
          : member.nodeId === idOf('orders-0-0')
            ? { ...member, slots: [first ?? [0, 0], ...evenSlotRanges(4).slice(3)] }
            : member,
      );
      const plan = scale({ replicasPerShard: 0 }, { spec, seen: empty });
      expect(plan.promotions).toEqual([]);
      expect(plan.refusals).toEqual([
        'orders-3-1 leads shard 3, which has no slots, and would leave: the servers hold no election for such a shard. Next: holdfast rebalance orders gives it slots, then the same again',
      ]);
      expect(scale({ replicasPerShard: 1 }, { spec, seen: empty }).refusals).toEqual([]);
      // Slots that come to it with the same operation come first.
      const five = specOf({ shards: 5, replicasPerShard: 2 });
      const seen = withMembers(failedOver(five, 3), (member) =>
        member.nodeId === idOf('orders-3-1')
          ? { ...member, slots: [] }
          : member.nodeId === idOf('orders-0-0')
            ? { ...member, slots: [evenSlotRanges(5)[0] ?? [0, 0], ...evenSlotRanges(5).slice(3, 4)] }
            : member,
      );
      expect(scale({ shards: 4, replicasPerShard: 0 }, { spec: five, seen })).toMatchObject({ promotions: ['orders-3-0'], refusals: [] });
    });

    test('in sentinel mode for shards, and for a primary that would leave', () => {
      const spec = sentinelSpec({ replicasPerShard: 2 });
      expect(refusals({ shards: 3 }, { spec })).toContain('orders is in sentinel mode: one primary has all the data');
      const healthy = healthyObservation(spec);
      const swapped = withNode(withNode(healthy, 'orders-0-0', { role: 'replica' }), 'orders-0-2', { role: 'primary' });
      expect(refusals({ replicasPerShard: 1 }, { spec, seen: swapped })).toContain('orders-0-2 is the primary now and would leave');
    });

    test('when the servers shall move slots themselves and cannot', () => {
      expect(refusals({ shards: 4, strategy: 'native' })).toContain('not every node can move slots by itself');
      expect(refusals({ shards: 4, strategy: 'native' }, { survey: { native: 'valkey' } })).toBe('');
      expect(refusals({ replicasPerShard: 2, strategy: 'native' })).toBe('');
    });
  });

  test.each([
    ['auto', 'valkey', { strategy: 'native', mayFallBack: true }],
    ['auto', undefined, { strategy: 'pipelined', mayFallBack: true }],
    ['native', 'redis', { strategy: 'native', mayFallBack: false }],
    ['pipelined', 'valkey', { strategy: 'pipelined', mayFallBack: false }],
  ] as const)('by %s on servers with %s commands', (strategy, native, wanted) => {
    expect(scale({ shards: 4, strategy }, { survey: native === undefined ? {} : { native } })).toMatchObject(wanted);
  });
});

describe('nodes that leave', () => {
  const spec = specOf({ shards: 4 });
  const nodes = ['orders-3-0', 'orders-3-1'];
  const leaving: Leaving = { spec, clusterId: CLUSTER_ID, nodes };
  /** All slots are with the three shards that stay, and the fourth holds nothing. */
  const emptied = nodes.reduce(
    (seen, name) => withNode(seen, name, { keys: 0 }),
    withMembers(healthyObservation(spec), (member) => {
      const shard = placesOf(spec).find(({ name }) => idOf(name) === member.nodeId)?.shard ?? 0;
      const range = evenSlotRanges(3)[shard];
      return member.role === 'replica' ? member : { ...member, slots: range === undefined ? [] : [range] };
    }),
  );
  const flagged = (seen: Observation, name: string) =>
    withMembers(seen, (member) => (member.nodeId === idOf(name) ? { ...member, flags: ['fail'] } : member));
  const withStopped = (name: string): Observation => ({
    ...withoutNodes(emptied, [name], false),
    containers: withContainer(emptied, name, { state: 'exited' }).containers,
  });

  describe('are emptied', () => {
    const why = (seen: Observation, its: Leaving = leaving) => whyNotEmptied(its, [3], seen);

    test('when all slots are with those that stay, no slot is open and no key is left', () => {
      expect(why(emptied)).toEqual([]);
      expect(why(withNode(emptied, 'orders-3-1', { keys: 1 }))).toEqual(['orders-3-1 still holds 1 key']);
      expect(why(withNode(emptied, 'orders-0-0', { openSlots: ['[1->-a]'] }))).toEqual(['orders-0-0 has open slots']);
      expect(why(healthyObservation(spec)).join()).toContain('sees 12288 of 16384 slots with those that stay');
      expect(why({ ...emptied, views: [] })).toEqual(['no node answers']);
    });

    test('also when replicas of shards that stay leave with them: those have the keys of their shard', () => {
      expect(why(emptied, { ...leaving, nodes: [...nodes, 'orders-0-1', 'orders-1-1'] })).toEqual([]);
    });

    test.each<[string, Observation]>([
      ['is silent', silenced(emptied, 'orders-3-0')],
      ['was stopped', withStopped('orders-3-0')],
    ])('not when a primary %s: nobody knows what it holds', (_, seen) => {
      expect(why(seen)).toEqual(['orders-3-0 does not answer, and nobody knows what it holds (docker logs orders-3-0)']);
    });

    test('when a silent one is a replica, has no container, or was forgotten', () => {
      expect(why(silenced(emptied, 'orders-3-1'))).toEqual([]);
      expect(why(withoutNodes(emptied, ['orders-3-0'], false))).toEqual([]);
      const three = { ...emptied, views: healthyObservation(specOf({ shards: 3 })).views };
      expect(why(silenced(three, 'orders-3-0'))).toEqual([]);
    });
  });

  describe('can be forgotten', () => {
    const why = (seen: Observation, its: Leaving = leaving) => whyNotForgotten(its, seen);
    const nothing = { holds: [], silent: [] };

    test('when those of them that are a primary own nothing and hold nothing', () => {
      expect(why(emptied)).toEqual(nothing);
      expect(why(healthyObservation(spec)).holds).toContain('orders-3-0 still owns 4096 slots');
      expect(why(withNode(emptied, 'orders-3-0', { keys: 7 })).holds).toEqual(['orders-3-0 is a primary and still holds 7 keys']);
      expect(why(withNode(emptied, 'orders-3-0', { openSlots: ['[1->-a]'] })).holds).toEqual([
        'orders-3-0 is a primary and has open slots',
      ]);
    });

    test('when they are replicas, whose keys are those of their primary', () => {
      expect(why(healthyObservation(spec), { ...leaving, nodes: ['orders-0-1', 'orders-3-1'] })).toEqual(nothing);
    });

    test('not while one sees that one of them owns slots, be it the node itself', () => {
      const own = healthyObservation(spec).views.map((view) => ({ ...view, digest: 'v2', seenBy: ['orders-3-0'] }));
      expect(why({ ...emptied, views: [...emptied.views, ...own] }).holds).toEqual(['orders-3-0 still owns 4096 slots']);
    });

    test('not while a primary is silent; one that never had slots may be', () => {
      expect(why(silenced(emptied, 'orders-3-0')).silent).toHaveLength(1);
      expect(why(flagged(silenced(emptied, 'orders-3-0'), 'orders-3-0')).silent).toHaveLength(1);
      expect(why(silenced(emptied, 'orders-3-0'), { ...leaving, fresh: true })).toEqual(nothing);
      expect(why(withoutNodes(emptied, ['orders-3-0'], false))).toEqual(nothing);
    });

    test('not while a replica is silent that the others would elect', () => {
      for (const fresh of [false, true]) {
        expect(why(silenced(emptied, 'orders-3-1'), { ...leaving, fresh }).silent).toHaveLength(1);
        expect(why(flagged(silenced(emptied, 'orders-3-1'), 'orders-3-1'), { ...leaving, fresh })).toEqual(nothing);
      }
    });
  });

  describe('of a sentinel cluster are retired', () => {
    const three = sentinelSpec({ replicasPerShard: 2 });
    const healthy = healthyObservation(three);
    const addressOf = (name: string) => healthy.containers.find((one) => one.name === name)?.address ?? '';
    const words: readonly SentinelWord[] = healthy.sentinels.map(({ name }) => ({
      name,
      primaryAddress: addressOf('orders-0-0'),
      flags: ['master'],
      replicas: ['orders-0-1', 'orders-0-2'].map((node) => ({
        address: addressOf(node),
        priority: node === 'orders-0-2' ? 0 : 100,
        flags: ['slave'],
      })),
    }));
    const said = (by: number, change: Partial<SentinelWord>) => words.map((word, i) => (i === by ? { ...word, ...change } : word));
    const asReplica = (priority: number, ...flags: string[]) => ({
      replicas: [{ address: addressOf('orders-0-2'), priority, flags: ['slave', ...flags] }],
    });
    const all = (change: Partial<SentinelWord>) => words.map((word) => ({ ...word, ...change }));
    const why = (seen: Observation, its = words) => whyNotRetired({ spec: three, clusterId: CLUSTER_ID, nodes: ['orders-0-2'] }, seen, its);
    const gone = withoutNodes(healthy, ['orders-0-2'], true);
    const promoted = withNode(withNode(healthy, 'orders-0-0', { role: 'replica' }), 'orders-0-2', { role: 'primary' });

    test.each<[string, Observation, readonly SentinelWord[]]>([
      ['each sentinel knows that it must not choose them', healthy, words],
      ['a minority of the sentinels is away', healthy, words.slice(1)],
      ['a sentinel does not know them', healthy, said(0, { replicas: [] })],
      ['they have no container, whatever the sentinels remember', gone, all(asReplica(100))],
      ['they are as silent to the sentinels', silenced(healthy, 'orders-0-2'), all(asReplica(100, 's_down', 'disconnected'))],
    ])('when %s', (_, seen, its) => {
      expect(why(seen, its)).toEqual({ uncertain: [] });
    });

    test.each<[string, Observation, readonly SentinelWord[], string]>([
      ['a sentinel has not heard yet', healthy, said(1, asReplica(100)), 'orders-sentinel-1 may still choose orders-0-2'],
      ['a sentinel does not say which priority it has', healthy, said(1, asReplica(Number.NaN)), 'may still choose'],
      ['one that answers has another priority, and is down to a sentinel', healthy, said(2, asReplica(100, 's_down')), 'may still choose'],
      ['one is silent to us and not to the sentinels', silenced(healthy, 'orders-0-2'), all(asReplica(100)), 'may still choose'],
      ['most sentinels are away', healthy, words.slice(2), 'no node that stays is the primary'],
      ['the sentinels do not agree', healthy, [...said(0, { primaryAddress: '10.0.0.8' }).slice(0, 2)], 'no node that stays'],
      ['the primary does not answer', silenced(healthy, 'orders-0-0'), words, 'no node that stays is the primary'],
      ['the primary says that it is none', withNode(healthy, 'orders-0-0', { role: 'replica' }), words, 'no node that stays'],
      ['one says that it is a primary, too', withNode(healthy, 'orders-0-2', { role: 'primary' }), words, 'orders-0-2 says that it is a'],
      [
        'a sentinel takes one for the primary',
        healthy,
        said(0, { primaryAddress: addressOf('orders-0-2') }),
        'orders-sentinel-0 takes orders-0-2 for the primary',
      ],
      ['one may have been chosen already', healthy, said(0, { flags: ['master', 'failover_in_progress'] }), 'is about to fail over'],
      ['a failover is near', healthy, said(0, { flags: ['master', 's_down', 'o_down'] }), 'orders-sentinel-0 is about to fail over'],
    ])('not yet when %s', (_, seen, its, reason) => {
      expect(why(seen, its).primary).toBeUndefined();
      expect(why(seen, its).uncertain.join('; ')).toContain(reason);
    });

    test('never when one of them is the primary', () => {
      const its = all({ primaryAddress: addressOf('orders-0-2') });
      expect(why(promoted, its)).toEqual({ primary: 'orders-0-2', uncertain: [] });
      expect(why(promoted, its.slice(1))).toEqual({ primary: 'orders-0-2', uncertain: [] });
      expect(why(silenced(promoted, 'orders-0-2'), its).uncertain).not.toEqual([]);
      expect(why(promoted, words).uncertain).not.toEqual([]);
    });
  });
});

describe('planning a rebalance', () => {
  const spec = specOf();

  test('of what is balanced gives no steps and no refusals', () => {
    fc.assert(
      fc.property(
        anySpec(8).filter(({ mode }) => mode === 'cluster'),
        fc.constantFrom('slots' as const, 'keys' as const, 'memory' as const),
        (any, by) => {
          const plan = rebalance({ by }, { spec: any });
          expect(plan).toMatchObject({ steps: [], refusals: [], slotMoves: [], summary: `${any.name} is balanced by ${by}` });
        },
      ),
      { numRuns: 30 },
    );
  });

  test('moves the slots that are too many, and names each', () => {
    const four = specOf({ shards: 4 });
    const plan = rebalance({}, { spec: four, seen: lopsided(four) });
    expect(names(plan)).toEqual([moveStep]);
    expect(plan.summary).toBe('orders: 1000 slots in 1 pair of shards, by slots, while it serves');
    expect(plan.moves).toEqual([expect.objectContaining({ from: 0, to: 1, slots: 1000, keys: 10_000, bytes: 1_000_000 })]);
    expect(plan.steps[0]?.change).toBe(`1000 from shard 0 to 1 (${plan.moves?.[0]?.ranges})`);
  });

  test('leaves alone what is within the threshold, and moves no more than asked for', () => {
    expect(rebalance({ threshold: 20 }, { seen: lopsided(spec) }).steps).toEqual([]);
    expect(rebalance({ maxMoves: 10 }, { seen: lopsided(spec) }).moves).toEqual([expect.objectContaining({ slots: 10 })]);
  });

  test('drains a shard whose weight is 0', () => {
    const plan = rebalance({ weights: { '2': 0 } });
    expect(plan.moves?.map(({ from }) => from)).toEqual([2, 2]);
    expect(plan.moves?.reduce((sum, row) => sum + row.slots, 0)).toBe(countSlots([evenSlotRanges(3)[2] ?? [0, 0]]));
  });

  test('by keys looks at the keys, by memory at their size', () => {
    const keys = Array.from({ length: SLOTS }, (_, slot) => (slot < 2000 ? 100 : 1));
    expect(rebalance({}, { survey: { keys } }).steps).toEqual([]);
    expect(rebalance({ by: 'keys' }, { survey: { keys } }).moves?.every(({ from }) => from === 0)).toBe(true);
    expect(rebalance({ by: 'memory' }, { survey: { bytesPerKey: [100, 900, 100] } }).moves?.every(({ from }) => from === 1)).toBe(true);
    const bytes = Array.from({ length: SLOTS }, (_, slot) => (slot >= 12_000 ? 1000 : 1));
    expect(rebalance({ by: 'memory' }, { survey: { bytes, bytesFrom: 'server' } }).moves?.every(({ from }) => from === 2)).toBe(true);
  });

  test('of moves that a person wrote has exactly those', () => {
    const moves = [
      { from: 0, to: 2, slots: '0-9,100' },
      { from: 1, to: 2, slots: '6000' },
    ];
    const plan = rebalance({ moves });
    expect(plan.refusals).toEqual([]);
    expect(plan.slotMoves).toEqual([
      {
        from: 0,
        to: 2,
        slots: [
          [0, 9],
          [100, 100],
        ],
      },
      { from: 1, to: 2, slots: [[6000, 6000]] },
    ]);
    expect(plan.summary).toContain('12 slots in 2 pairs of shards, as given');
  });

  test('of several moves of the same pair has one', () => {
    const written = [
      { from: 0, to: 2, slots: '10-19,40' },
      { from: 1, to: 2, slots: '6000' },
      { from: 0, to: 2, slots: '0-9,30' },
    ];
    const plan = rebalance({ moves: written });
    expect(plan.refusals).toEqual([]);
    expect(plan.moves?.map(({ from, to, ranges }) => `${from} -> ${to}: ${ranges}`)).toEqual(['0 -> 2: 0-19,30,40', '1 -> 2: 6000']);
    expect(plan.summary).toContain('23 slots in 2 pairs of shards');
  });

  test('of moves that name every slot many times over is refused in no time', () => {
    const plan = rebalance({ moves: Array.from({ length: 30_000 }, () => ({ from: 0, to: 1, slots: '0-16383' })) });
    expect(plan.refusals).toContain('slot 0 is moved twice');
  });

  test('of moves whose ranges overlap, in any order, has each slot once', () => {
    const [move] = rebalance({ moves: [{ from: 0, to: 2, slots: '200,5-20,0-9' }] }).slotMoves;
    expect(move?.slots).toEqual([
      [0, 20],
      [200, 200],
    ]);
  });

  test('has the same digest whatever is in the slots that were shown', () => {
    const moves = [{ from: 0, to: 1, slots: '0-99' }];
    const { steps, refusals } = rebalance({ moves });
    const later = rebalance({ moves }, { survey: { keys: new Array<number>(SLOTS).fill(77), bytesPerKey: [1, 2, 3], memory: [] } });
    expect({ steps: later.steps, refusals: later.refusals }).toEqual({ steps, refusals });
  });

  describe('is refused', () => {
    const refusals = (...its: Parameters<typeof rebalance>) => rebalance(...its).refusals.join('\n');
    const moves = (...all: readonly (readonly [number, number, string])[]) => ({
      moves: all.map(([from, to, slots]) => ({ from, to, slots })),
    });

    test('when moves name slots that are elsewhere, or nobody’s shard', () => {
      expect(refusals(moves([0, 1, '5460-5463']))).toContain(
        'slot 5461 does not belong to shard 0 but to shard 1 (and 2 more): plan again',
      );
      expect(refusals(moves([0, 3, '0']))).toContain('there is no shard 3: this cluster has shards 0 to 2');
      expect(refusals(moves([7, 0, '0']))).toContain('there is no shard 7');
      expect(refusals(moves([1, 1, '6000']))).toContain('shard 1 cannot give slots to itself');
    });

    test('when moves name a slot twice', () => {
      expect(refusals(moves([0, 1, '0-9'], [0, 2, '9']))).toContain('slot 9 is moved twice');
      expect(refusals(moves([0, 2, '9'], [0, 2, '20,0-9']))).toContain('slot 9 is moved twice');
      expect(refusals(moves([0, 2, '5-7'], [0, 2, '100'], [0, 2, '0-6,50']))).toBe('slot 5 is moved twice');
    });

    test('when a shard would give and take', () => {
      expect(refusals(moves([0, 1, '0'], [1, 2, '6000']))).toContain('shard 1 cannot give and take in one operation');
    });

    test('when every weight is 0, or one is of a shard that is not there', () => {
      expect(refusals({ weights: { '0': 0, '1': 0, '2': 0 } })).toContain('every weight is 0');
      expect(refusals({ weights: { '5': 1 } })).toContain('weights name shard 5, and this cluster has shards 0 to 2');
    });

    test('when a big key would move, data would not fit, or servers cannot what is forced', () => {
      const seen = lopsided(spec);
      expect(refusals({}, { seen, scan: bigKey })).toContain('cart:{42}');
      expect(refusals({ bigKeys: 'move' }, { seen, scan: bigKey })).toBe('');
      const full = { memory: new Array(3).fill({ used: 172 * MIB, max: 192 * MIB }) };
      expect(refusals({}, { seen, survey: full })).toContain('shard 1 would hold 173 MiB of 192 MiB, more than 90 %');
      expect(refusals({}, { seen, survey: { memory: new Array(3).fill({ used: 172 * MIB, max: 0 }) } })).toBe('');
      expect(refusals({ strategy: 'native' }, { seen })).toContain('not every node can move slots by itself');
      expect(refusals({ strategy: 'native' })).toBe('');
    });

    test('while anything is amiss, or somebody is a member whom no spec knows', () => {
      expect(refusals({}, { seen: withoutNodes(lopsided(spec), ['orders-0-1'], false) })).toContain('orders-0-1: it has no container');
      expect(refusals({}, { seen: withStranger(lopsided(spec)) })).toContain('is a member that no spec knows');
    });
  });
});

describe('planning a repair', () => {
  const spec = specOf();
  const closings: readonly Closing[] = [
    { slot: 5, how: 'finish', from: idOf('orders-0-0'), to: idOf('orders-1-0') },
    { slot: 6, how: 'finish', from: idOf('orders-0-0'), to: idOf('orders-1-0') },
    { slot: 9, how: 'settle', owner: idOf('orders-2-0') },
  ];
  const person = (keys: number): Closing => ({ slot: 11, how: 'person', why: `2 nodes claim it: a (owns it, ${keys} keys)` });

  test('of no open slot has no steps', () => {
    expect(planRepair(spec, CLUSTER_ID, [])).toEqual({ summary: 'orders has no open slot', steps: [], refusals: [] });
  });

  test('says of every slot what becomes of it, by the names of the nodes', () => {
    const plan = planRepair(spec, CLUSTER_ID, closings);
    expect(plan.summary).toBe('orders: 3 open slots');
    expect(plan.steps).toEqual([
      {
        name: repairStep,
        change: '5-6: move what is left from orders-0-0 to orders-1-0; 9: leave with orders-2-0, take marks off',
      },
    ]);
  });

  test('says how much is left to move, of slots that are handed over only, and that changes nothing of what is approved', () => {
    const survey = surveyOf(spec, { keys: Object.assign(new Array<number>(16_384).fill(0), { 5: 30, 6: 12, 9: 99 }) });
    const plan = planRepair(spec, CLUSTER_ID, [...closings, person(3)], survey);
    expect(plan.moves).toMatchObject([{ from: 0, to: 1, ranges: '5-6', slots: 2, keys: 42 }]);
    expect(plan.steps).toEqual(planRepair(spec, CLUSTER_ID, [...closings, person(3)]).steps);
    expect(planRepair(spec, CLUSTER_ID, closings.slice(2), survey)).not.toHaveProperty('moves');
  });

  test('gives slots that nobody serves to their shard', () => {
    const plan = planRepair(spec, CLUSTER_ID, [{ slot: 7, how: 'adopt', owner: idOf('orders-1-0') }]);
    expect(plan.steps[0]?.change).toBe('7: give to orders-1-0, since nobody serves them');
  });

  test('tells what a person must decide, and closes the others all the same', () => {
    const plan = planRepair(spec, CLUSTER_ID, [...closings, person(3)]);
    expect(plan).toMatchObject({
      refusals: [],
      summary: expect.stringContaining('orders: 4 open slots, 1 of them for a person to decide'),
    });
    expect(JSON.stringify(plan)).toContain('2 nodes claim it: a (owns it, 3 keys)');
  });

  test('has the same digest whatever is in the slots', () => {
    const [now, later] = [planRepair(spec, CLUSTER_ID, [person(3)]), planRepair(spec, CLUSTER_ID, [person(4)])];
    expect({ steps: later.steps, refusals: later.refusals }).toEqual({ steps: now.steps, refusals: now.refusals });
  });

  test('is refused in sentinel mode', () => {
    expect(planRepair(sentinelSpec(), CLUSTER_ID, []).refusals[0]).toContain('there are no slots to move');
  });
});
