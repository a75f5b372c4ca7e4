import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BackupManifest, backupManifest } from '../../config/backup.ts';
import { type ClusterSpec, clusterSpec } from '../../config/cluster-spec.ts';
import { restoreInput } from '../../config/operations.ts';
import type { KnownCluster } from '../../model/known-cluster.ts';
import { isDrillDue, planDrill, specOfDrill } from '../../model/plan-drill.ts';
import { planRestore, restoreSteps, whyNotCopied } from '../../model/plan-restore.ts';
import { whyUnreadable } from '../../model/recovery/readable.ts';
import { restoredSpec } from '../../model/recovery/restored-spec.ts';
import { type ClusterSource, rangesOf, type ShardSource, sourceId, sourceOfBackup, withTtl } from '../../model/recovery/shard-recovery.ts';
import { maxmemoryOf } from '../../model/server-conf.ts';
import { evenSlotRanges, formatRange } from '../../model/slots.ts';
import { initialMembers } from '../../model/topology.ts';
import { restoreInputOf, shownData } from '../../starter/cli/commands/restore.ts';
import { addField } from '../../starter/cli/option-values.ts';
import { withFields } from '../../starter/cli/spec-file.ts';
import { CLUSTER_ID, emptyObservation, healthyObservation, subnetOf } from './model-observations.ts';

const at = '2026-11-21T09:17:00.123Z';

/** A backup of a healthy cluster of the spec. */
const manifestOf = (spec: ClusterSpec): BackupManifest =>
  backupManifest.parse({
    format: 'holdfast-backup-1',
    id: '20261121T091700Z-0123abcd',
    cluster: spec.name,
    clusterId: CLUSTER_ID,
    generation: 1,
    spec,
    startedAt: at,
    finishedAt: at,
    shards: evenSlotRanges(spec.shards).map((range, shard) => ({
      shard,
      key: `shard-${shard}`,
      object: {
        id: `${shard}`.repeat(32),
        kek: '000001-0123456789abcdef',
        plainBytes: 10,
        plainSha256: 'ab'.repeat(32),
        storedBytes: 20,
        storedSha256: 'ab'.repeat(32),
      },
      replid: 'c'.repeat(40),
      offset: 4711,
      slots: formatRange(range),
      node: `${spec.name}-${shard}-1`,
      server: { engine: spec.engine, version: `${spec.version}.2` },
      database: 0,
      keys: 3,
      functions: 0,
      startedAt: at,
      tookMs: 12,
    })),
  });

const nobody: KnownCluster = { generation: 0, source: 'none' };
const kept = clusterSpec.parse({
  name: 'orders',
  engine: 'valkey',
  version: '8.1',
  network: { subnet: '10.50.1.0/24' },
  labels: { team: 'a' },
});
const source: ClusterSource = sourceOfBackup(manifestOf(kept));
const specWith = (changes: Record<string, unknown> = {}) => {
  const parsed = restoredSpec(source.spec, 'again', changes);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
};
const planOf = (spec: ClusterSpec, data: ClusterSource, include: readonly string[] = [], ttl: 'absolute' | 'shift' = 'absolute') =>
  planRestore(spec, nobody, withTtl(data, ttl), { include: [...include], ttl }, emptyObservation(spec), null);
const planWith = (changes: Record<string, unknown> = {}, include: readonly string[] = []) => planOf(specWith(changes), source, include);
/** The same data, of which one shard is another; the first by default. */
const withShard = (change: (shard: ShardSource) => Partial<ShardSource>, which = 0): ClusterSource => ({
  ...source,
  shards: source.shards.map((shard) => (shard.shard === which ? { ...shard, ...change(shard) } : shard)),
});
const until = { timeline: 't', atMs: 5, reachedMs: 4, bytes: 10, segments: 3 };

describe('the spec of what is brought back', () => {
  test('is that which the cluster had, but for its name, its subnet and what is wanted otherwise', () => {
    const { network, resources, ...rest } = specWith({ resources: { memory: '1Gi' } });
    const { network: _, resources: before, ...same } = kept;
    expect(rest).toEqual({ ...same, name: 'again' });
    expect(network).toEqual({});
    expect(resources).toEqual({ ...before, memory: '1Gi' });
    expect(specWith({ network: { subnet: '10.60.0.0/24' } }).network).toEqual({ subnet: '10.60.0.0/24' });
  });

  test('that cannot be is told by its field', () => {
    expect(restoredSpec(source.spec, 'again', { resources: { memory: 'much' } })).toMatchObject({
      ok: false,
      message: expect.stringContaining('resources.memory'),
    });
    expect(restoredSpec(source.spec, 'again', { shard: 4 })).toMatchObject({ ok: false, message: expect.stringContaining('shard') });
    expect(restoreInput.safeParse({ cluster: 'orders', backup: 'latest', into: 'again', changes: { name: 'x' } }).success).toBe(false);
  });

  test('comes from options and a file, of which the options count more', () => {
    const texts = addField('persistence.aof=false', addField('resources.memory=1Gi', undefined));
    expect(withFields({ resources: { memory: '2Gi', cpus: 2 } }, texts)).toEqual({
      resources: { memory: '1Gi', cpus: 2 },
      persistence: { aof: false },
    });
    expect(() => addField('memory', undefined)).toThrow('resources.memory=1Gi');
  });
});

describe('which data', () => {
  test.each([
    [{}, false],
    [{ backup: 'latest' }, true],
    [{ latest: true }, true],
    [{ at: '2026-11-21T14:03:26.5+01:00' }, true],
    [{ at: 'yesterday' }, false],
    [{ at: '2026-11-21T14:03:26Z', latest: true }, false],
  ] as const)('%j is enough, and not too much: %s', (which, good) => {
    expect(
      restoreInput.safeParse(restoreInputOf('orders', { ...which, into: 'again', whenBusy: 'fail', output: 'table' }, {})).success,
    ).toBe(good);
  });
});

describe('a plan to bring data back', () => {
  test('lays out each shard before its node starts, and starts replicas when it is loaded', () => {
    const { steps, refusals, primaries, copies, recovery } = planWith();
    expect(refusals).toEqual([]);
    expect(copies).toEqual([]);
    expect(primaries.map(({ place }) => place.name)).toEqual(['again-0-0', 'again-1-0', 'again-2-0']);
    const names = steps.map(({ name }) => name);
    const at = (name: string) => names.indexOf(name);
    expect(names.every((name) => at(name) >= 0)).toBe(true);
    for (const shard of [0, 1, 2]) {
      expect(at(restoreSteps.network)).toBeLessThan(at(restoreSteps.layOut(shard)));
      expect(at(restoreSteps.layOut(shard))).toBeLessThan(at(`start again-${shard}-0`));
      expect(at(`start again-${shard}-0`)).toBeLessThan(at(restoreSteps.load));
      expect(at(restoreSteps.load)).toBeLessThan(at(`start again-${shard}-1`));
    }
    expect(names.at(-1)).toBe(restoreSteps.accept);
    expect(new Set(names).size).toBe(names.length);
    expect(recovery).toHaveLength(3);
    expect(names).not.toContain(restoreSteps.settle);
    expect(planWith({ persistence: { aof: false } }).steps.map(({ name }) => name)).toContain(restoreSteps.settle);
  });

  test.each([
    [4, { shards: 4 }, []],
    [5, { shards: 5, replicasPerShard: 2, persistence: { aof: false } }, [restoreSteps.settle]],
  ] as const)(
    'spreads the keys over the %i volumes of another number of shards before any of their nodes starts',
    (shards, changes, settle) => {
      const { steps, refusals, primaries, copies, spread } = planWith(changes);
      expect([refusals, primaries]).toEqual([[], []]);
      expect(copies.map(({ shard }) => shard)).toEqual([0, 1, 2]);
      expect(spread.map(({ place, slots }) => [place.name, slots])).toEqual(
        evenSlotRanges(shards).map((range, shard) => [`again-${shard}-0`, formatRange(range)]),
      );
      const startsOf = (ordinals: readonly number[]) =>
        spread.flatMap(({ place }) => ordinals.map((ordinal) => `start again-${place.shard}-${ordinal}`));
      expect(steps.map(({ name }) => name)).toEqual([
        restoreSteps.secrets,
        expect.stringContaining('find image'),
        restoreSteps.network,
        restoreSteps.volumes,
        ...[0, 1, 2].map(restoreSteps.spread),
        ...startsOf([0]),
        restoreSteps.load,
        ...settle,
        ...startsOf('replicasPerShard' in changes ? [1, 2] : [1]),
        restoreSteps.form,
        restoreSteps.schedule,
        restoreSteps.accept,
      ]);
      for (const { change, undo } of steps.filter(({ name }) => name.startsWith('spread')))
        expect([change, undo]).toEqual([expect.stringMatching(`^3 keys of .* the ${shards} primaries`), 'remove the volumes']);
    },
  );

  test('spreads no shard that had no slots, though there are as many as had some', () => {
    const empty = source.shards.map((shard) => ({ ...shard, shard: shard.shard + 3, slots: '', base: { ...shard.base, functions: 7 } }));
    const { copies, spread } = planOf(specWith(), { ...source, shards: [...source.shards, ...empty] });
    expect([copies, spread.length]).toEqual([source.shards, 3]);
  });

  test('gives every slot to one of the volumes that keys are spread over, and to no other node', () => {
    fc.assert(
      fc.property(fc.integer({ min: 4, max: 60 }), (shards) => {
        const { spread } = planWith({ shards });
        const ranges = spread.flatMap(({ slots }) => rangesOf(slots));
        expect(ranges.map(([from]) => from)).toEqual([0, ...ranges.slice(0, -1).map(([, to]) => to + 1)]);
        expect(ranges.at(-1)?.[1]).toBe(16383);
        expect(new Set(spread.map(({ place }) => place.name)).size).toBe(shards);
        expect(spread.every(({ place }) => place.kind === 'data' && place.ordinal === 0)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  const functions = (count: number) => withShard(({ base }) => ({ base: { ...base, functions: count } }));
  const alone: ClusterSource = {
    ...source,
    spec: clusterSpec.parse({ name: 'orders', engine: 'valkey', version: '8.1', mode: 'sentinel' }),
    shards: source.shards.slice(0, 1).map((shard) => ({ ...shard, slots: '', base: { ...shard.base, slots: '' } })),
  };
  const four = specWith({ shards: 4 });

  test.each([
    ['another mode', specWith({ mode: 'sentinel', shards: 1 }), source],
    ['another mode, the other way round', specWith(), alone],
    ['a part of the keys', specWith(), source, ['cart:*']],
    ['a part of the keys in other shards', four, source, ['cart:*']],
    ['times to live that are shifted in other shards', four, source, [], 'shift'],
    ['shards with different numbers of functions', four, functions(2)],
  ] as const)(
    'sends keys to where they belong for %s',
    (_, spec, data, include: readonly string[] = [], ttl: 'absolute' | 'shift' = 'absolute') => {
      const { primaries, copies, spread, steps, refusals } = planOf(spec, data, include, ttl);
      expect([refusals, primaries, spread]).toEqual([[], [], []]);
      expect(copies.map(({ shard }) => shard)).toEqual(data.shards.map(({ shard }) => shard));
      const names = steps.map(({ name }) => name);
      expect(names.slice(names.indexOf(restoreSteps.form))).toEqual([
        restoreSteps.form,
        ...copies.map(({ shard }) => restoreSteps.copy(shard)),
        restoreSteps.count,
        restoreSteps.schedule,
        restoreSteps.accept,
      ]);
      for (const none of [restoreSteps.volumes, restoreSteps.load, restoreSteps.spread(0)]) expect(names).not.toContain(none);
    },
  );

  test.each([
    ['with what was written after its base', { until, atMoment: true }],
    ['right at its base', { atMoment: true }],
  ] as const)('spreads the data of a moment %s', (_, moment) => {
    const { spread, steps, refusals } = planOf(
      four,
      withShard(() => moment, 2),
    );
    expect([spread.length, refusals]).toEqual([4, []]);
    const change = steps.find(({ name }) => name === restoreSteps.spread(2))?.change ?? '';
    expect(change.includes('what was written after it until 1970-01-01T00:00:00.004Z')).toBe('until' in moment);
  });

  test('spreads shards that have functions, as many in each', () => {
    const data = { ...source, shards: source.shards.map((shard) => ({ ...shard, base: { ...shard.base, functions: 2 } })) };
    expect(planOf(four, data).spread).toHaveLength(4);
  });

  test('that spreads is refused when the shares do not fit their nodes on the average, and one that sends is not', () => {
    const room = maxmemoryOf(four);
    const sized = (bytes: number) => withShard(({ base }) => ({ base: { ...base, object: { ...base.object, plainBytes: bytes } } }));
    const rest = 2 * 10; // what the other two shards have
    expect(planOf(four, sized(4 * room - rest)).refusals).toEqual([]);
    expect(planOf(four, sized(4 * room - rest + 1)).refusals).toEqual([expect.stringContaining('give nodes more memory')]);
    expect(planOf(specWith({ shards: 5 }), sized(4 * room - rest + 1)).refusals).toEqual([]);
    expect(planOf(four, sized(4 * room - rest + 1), ['cart:*']).refusals).toEqual([]);
    expect(planOf(four, sized(4 * room - rest + 1), [], 'shift').refusals).toEqual([]);
  });

  test('that spreads is refused as any other where slots are missing, the name is taken, or the server cannot read the data', () => {
    const refusals = (data: ClusterSource, known: KnownCluster = nobody, spec = four) =>
      planRestore(spec, known, data, { include: [], ttl: 'absolute' }, emptyObservation(spec), null).refusals;
    expect(refusals(withShard(() => ({ slots: '0-99' })))).toEqual([expect.stringContaining('of 16384 slots')]);
    expect(refusals(source, { clusterId: CLUSTER_ID, spec: four, generation: 3, source: 'keeper' })).toEqual([
      expect.stringContaining('a cluster named again exists'),
    ]);
    expect(refusals(source, nobody, specWith({ shards: 4, engine: 'redis', version: '8.0' }))).toEqual([
      expect.stringContaining('redis 8.0 cannot load'),
    ]);
  });

  test('says about how long keys take that are sent, by their bytes or by their number, whichever takes longer', () => {
    const [first] = source.shards;
    if (first === undefined) throw new Error('no shard');
    const planned = (keys: number, mebibytes: number, include: readonly string[], ttl: 'absolute' | 'shift') => {
      const base = { ...first.base, keys, object: { ...first.base.object, plainBytes: mebibytes * 1024 ** 2 } };
      return planOf(
        four,
        withShard(() => ({ base })),
        include,
        ttl,
      ).steps;
    };
    const costOf = (keys: number, mebibytes: number, include: readonly string[] = []) =>
      planned(keys, mebibytes, include, 'shift').find(({ name }) => name === restoreSteps.copy(0))?.cost;
    // Those that are spread are as fast as bytes are, however many they are.
    expect(planned(1_000_000, 200, [], 'absolute').find(({ name }) => name === restoreSteps.spread(0))?.cost).toMatch(/^about 2 s;/);
    expect(costOf(1_000_000, 200)).toMatch(/^about 22 s; up to .* of memory/);
    expect(costOf(1000, 1000)).toMatch(/^about 20 s;/);
    expect(costOf(1_000_000, 200, ['cart:*'])).toMatch(/^at most about 22 s;/);
  });

  test('is refused for a name that exists, data that does not fit, slots that are missing, and a server that cannot read it', () => {
    const spec = specWith();
    const exists = planRestore(
      spec,
      { clusterId: CLUSTER_ID, spec, generation: 3, source: 'keeper' },
      source,
      { include: [], ttl: 'absolute' },
      healthyObservation(spec),
      null,
    );
    expect(exists.refusals).toEqual([expect.stringContaining('a cluster named again exists')]);
    expect(planWith({ version: '9.1' }).refusals).toEqual([]);
    expect(planWith({ engine: 'redis', version: '8.0' }).refusals).toEqual([expect.stringContaining('redis 8.0 cannot load')]);
    const [first, ...others] = source.shards;
    if (first === undefined) throw new Error('no shard');
    const plan = (shards: ClusterSource['shards']) =>
      planRestore(spec, nobody, { ...source, shards }, { include: [], ttl: 'absolute' }, emptyObservation(spec), null).refusals;
    expect(plan([{ ...first, slots: '0-99' }, ...others])).toEqual([expect.stringContaining('of 16384 slots')]);
    const huge = { ...first.base, object: { ...first.base.object, plainBytes: 1024 ** 4 } };
    expect(plan([{ ...first, base: huge }, ...others])).toEqual([expect.stringContaining('give nodes more memory')]);
  });

  test('of a drill makes no more nodes than needed, keeps nothing and says so', () => {
    const parsed = specOfDrill(source);
    if (!parsed.ok) throw new Error(parsed.message);
    expect(parsed.value).toMatchObject({ name: 'orders-drill', replicasPerShard: 0, deletionProtection: false, pitr: { enabled: false } });
    const { steps, refusals } = planDrill(parsed.value, nobody, source, emptyObservation(parsed.value));
    expect(refusals).toEqual([]);
    expect(steps.map(({ name }) => name)).not.toContain(restoreSteps.accept);
    expect(steps.slice(-2).map(({ name }) => name)).toEqual(['remove the cluster of the drill', 'record the drill']);
  });
});

test('nodes begin with the slots that their shards had, whatever these are', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 16, maxLength: 16 }), (owners) => {
      const slots = [0, 1, 2].map((shard) => evenSlotRanges(16).filter((_, part) => owners[part] === shard));
      const members = initialMembers(kept, CLUSTER_ID, subnetOf(kept), slots);
      expect(members.filter(({ role }) => role === 'primary').map((member) => member.slots)).toEqual(slots);
      expect(members.filter(({ role }) => role === 'replica').every((member) => member.slots.length === 0)).toBe(true);
    }),
  );
});

test('a server reads what older ones of its kind wrote, Valkey what Redis wrote until 7.2, and nothing else', () => {
  const reads = (from: string, to: string) => {
    const release = (text: string) => ({ engine: text.split(' ')[0] as 'redis' | 'valkey', version: text.split(' ')[1] ?? '' });
    return whyUnreadable(release(from), release(to)) === undefined;
  };
  for (const good of [
    'redis 7.0.15>redis 7.0',
    'redis 7.0.15>redis 8.0',
    'redis 7.0.15>valkey 9.1',
    'redis 7.2.4>valkey 8.1',
    'valkey 8.1.2>valkey 9.1',
    'valkey 9.1.0>valkey 9.1',
  ])
    expect(reads(...(good.split('>') as [string, string])), good).toBe(true);
  for (const bad of [
    'redis 8.0.2>redis 7.0',
    'redis 8.0.2>valkey 9.1',
    'redis 7.4.0>valkey 8.1',
    'valkey 8.1.2>redis 8.0',
    'valkey 9.1.0>valkey 8.1',
  ])
    expect(reads(...(bad.split('>') as [string, string])), bad).toBe(false);
});

test('keys that were copied are missed when they are not there, unless their time may have ended', () => {
  const spec = specWith();
  const seen = healthyObservation(spec);
  const withKeys = (keys: number) => ({ ...seen, nodes: seen.nodes.map((node) => (node.answers ? { ...node, keys } : node)) });
  const why = (there: number, mortal: number) => whyNotCopied([{ keys: 300, different: 300, mortal }], withKeys(there));
  expect(why(100, 0)).toBeUndefined(); // three primaries
  expect(why(99, 0)).toContain('300 keys were copied');
  expect(why(99, 3)).toBeUndefined();
  expect(why(99, 2)).toContain('2 keys of the data have a time to live');
  expect(why(101, 50)).toContain('who else writes to it');
});

test('other data has another identity, and the same data the same one', () => {
  const [first] = source.shards;
  if (first === undefined) throw new Error('no shard');
  const ids = [
    first,
    { ...first, until },
    { ...first, until: { ...until, atMs: 6 } },
    { ...first, slots: '1' },
    { ...first, cluster: 'other' },
  ].map(sourceId);
  expect(new Set(ids).size).toBe(ids.length);
  // What was merged meanwhile is the same data.
  expect(sourceId({ ...first, until: { ...until, segments: 1, bytes: 11 } })).toBe(ids[1]);
});

test('a drill is due when the last one is so many days old, half a day early at most; never, when none is asked for', () => {
  const now = Date.parse('2026-11-21T03:00:00Z');
  const last = (startedAt: string) => ({ startedAt });
  expect([isDrillDue(0, undefined, now), isDrillDue(7, undefined, now)]).toEqual([false, true]);
  expect(isDrillDue(7, last('2026-11-14T03:09:00Z'), now)).toBe(true);
  expect(isDrillDue(7, last('2026-11-15T03:00:00Z'), now)).toBe(false);
});

test('of the latest data, what was shown is what runs, and not what came later', () => {
  const shard = { shard: 0, baseBytes: 1, writeBytes: 1, segments: 1, at: '2026-11-21T14:03:25.900Z' };
  expect(shownData({ recovery: [{ ...shard, asOf: '2026-11-21T14:03:26.000Z' }] })).toEqual({
    at: '2026-11-21T14:03:26.000Z',
    latest: undefined,
  });
  expect(shownData({ recovery: [shard] })).toEqual({});
});
