import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { closeOpenSlots, findOpenSlots } from '../../activities/migration/close-open-slots.ts';
import type { ClusterNow } from '../../activities/migration/cluster-now.ts';
import type { Crew } from '../../activities/migration/crew.ts';
import { drain, type GroupMove, handOver, moveGroup, openSlots, type Throttle } from '../../activities/migration/move-group.ts';
import type { ConnectedNode } from '../../activities/migration/slot-node.ts';
import type { Unconfirmed, Way } from '../../activities/migration/unconfirmed.ts';
import { RawList, ServerError } from '../../activities/redis/protocol.ts';
import { planMoves } from '../../model/migration/balance.ts';
import { type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import {
  amissAtTheEnd,
  createSlotModel,
  crewOf,
  Died,
  type Driver,
  lostWrites,
  nodeAt,
  ownSlots,
  type SlotModel,
} from './migration-slot-model.ts';

/** Small and fast; the seed comes from fast-check, so that a failure can be run again. */
function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const death = fc.record({
  at: fc.integer({ min: 1, max: 80 }),
  how: fc.constantFrom('before' as const, 'after' as const, 'half' as const),
});

/** A cluster, what shall become of it, and what goes on meanwhile. */
const scenario = fc.integer({ min: 2, max: 5 }).chain((servers) =>
  fc.record({
    weights: fc
      .array(fc.integer({ min: 0, max: 3 }), { minLength: servers, maxLength: servers })
      .filter((all) => all.some((one) => one > 0)),
    owners: fc.array(fc.nat(servers - 1), { minLength: 6, maxLength: 24 }),
    keysPerSlot: fc.nat(5),
    slotsAtOnce: fc.integer({ min: 1, max: 6 }),
    batchKeys: fc.integer({ min: 1, max: 4 }),
    atOnce: fc.integer({ min: 1, max: 4 }),
    careful: fc.boolean(),
    writes: fc.constantFrom(0, 0.2, 0.6),
    gossip: fc.constantFrom(0, 0.05, 0.3),
    deaths: fc.array(death, { minLength: 1, maxLength: 6 }),
    seed: fc.integer(),
  }),
);
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

const throttleOf = ({ batchKeys }: Pick<Scenario, 'batchKeys'>): Throttle => ({
  batchKeys: () => batchKeys,
  batchBytes: 2,
  moved: async () => undefined,
  mayGoOn: async () => undefined,
});

/** The cluster of a scenario with the moves that it needs, and who owns each slot afterwards. */
function begin({ weights, owners, keysPerSlot, writes, gossip, seed }: Scenario) {
  const next = random(seed);
  const pick = (below: number) => Math.floor(next() * below);
  const keys = owners.flatMap((_, slot) => Array.from({ length: pick(keysPerSlot + 1) }, (__, i) => `${slot}:${i}`));
  const model = createSlotModel(weights.length, owners, keys);
  const moves = planMoves(
    weights.map((weight, shard) => ({ shard, weight, slots: toRanges(owners.flatMap((owner, slot) => (owner === shard ? [slot] : []))) })),
    { thresholdPercent: 0 },
  );
  const planned = [...owners];
  for (const { to, slots } of moves) for (const slot of slotsOf(slots)) planned[slot] = to;
  const wrong: string[] = [];
  const meanwhile = () => {
    while (next() < writes) {
      const key = `${pick(owners.length)}:${pick(keysPerSlot + 3)}`;
      if (next() < 0.6) {
        if (!model.write(key, pick(8))) wrong.push(`nobody takes a write of ${key}`);
        continue;
      }
      const found = model.read(key, pick(8));
      const newest = model.acknowledged.get(key) ?? null;
      if (found === undefined) wrong.push(`nobody answers for ${key}`);
      else if (found !== newest) wrong.push(`${key} is ${found} for a client, and was ${newest}`);
    }
    while (next() < gossip) model.gossip(pick(8), pick(8));
  };
  return { model, moves, planned, wrong, meanwhile };
}

/** One attempt of the activity, as `moveSlots` and its lanes make it, on what its servers say: nothing is known from before. */
async function attempt(
  model: SlotModel,
  moves: readonly SlotMove[],
  { slotsAtOnce, batchKeys, careful, atOnce }: Scenario,
  driver: Driver,
  moveOne: typeof moveGroup = moveGroup,
): Promise<void> {
  const nodes = model.connect(driver);
  const throttle = throttleOf({ batchKeys });
  const { persons } = await closeOpenSlots(crewOf(nodes), slotsAtOnce, throttle);
  if (persons.length > 0) throw new Error(`a person must decide: ${JSON.stringify(persons)}`);
  const own = nodes.map((_, shard) => ownSlots(model, shard));
  const left = new Map(moves.map((move) => [move, slotsOf(move.slots).filter((slot) => own[move.to]?.has(slot) !== true)]));
  for (const [{ from }, slots] of left)
    for (const slot of slots)
      if (own[from]?.has(slot) !== true) throw new Error(`slot ${slot} is neither at its source nor at its destination`);
  const lane = async (its: readonly SlotMove[]) => {
    for (let turn = 0; ; turn++) {
      const open = its.filter((move) => (left.get(move)?.length ?? 0) > 0);
      const move = open[turn % Math.max(1, open.length)];
      if (move === undefined) return;
      const group = left.get(move)?.splice(0, slotsAtOnce) ?? [];
      const [source, destination] = [nodeAt(nodes, move.from), nodeAt(nodes, move.to)];
      const others = nodes.filter((node) => node !== source && node !== destination);
      await moveOne({ source, destination, others, slots: group, careful: new Set(careful ? group : []), atOnce }, throttle);
    }
  };
  const lanes = [...new Set(moves.map(({ from }) => from))].map((from) => lane(moves.filter((move) => move.from === from)));
  const failed = (await Promise.allSettled(lanes)).find((one) => one.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Attempts that die, one after the other, and then one that lives. @returns what is amiss */
async function moveThroughDeaths(its: Scenario, moveOne?: typeof moveGroup): Promise<readonly string[]> {
  const { model, moves, planned, wrong, meanwhile } = begin(its);
  for (const dies of its.deaths) {
    const driver: Driver = { dies, meanwhile, steps: 0 };
    await attempt(model, moves, its, driver, moveOne).catch((error: unknown) => {
      if (!(error instanceof Died)) throw error;
    });
    const lost = lostWrites(model);
    if (lost.length > 0) return lost;
  }
  await attempt(model, moves, its, { meanwhile, steps: 0 }, moveOne);
  const claimed = amissAtTheEnd(model, planned).filter((what) => !what.includes(' sees '));
  model.gossipToAll();
  return [...wrong, ...claimed, ...amissAtTheEnd(model, planned)];
}

describe('a driver that may die at any command, of any number of attempts', () => {
  test('loses no acknowledged write, and leaves every slot closed with its planned owner', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (its) => {
        expect(await moveThroughDeaths(its)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('tells every primary itself, and waits for no gossip', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (its) => {
        const { model, moves, planned, wrong, meanwhile } = begin({ ...its, gossip: 0 });
        await attempt(model, moves, its, { meanwhile, steps: 0 });
        expect([...wrong, ...amissAtTheEnd(model, planned)]).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  test('finds whatever another attempt left open without a person', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, death, async (its, dies) => {
        const { model, moves, meanwhile } = begin(its);
        await attempt(model, moves, its, { dies, meanwhile, steps: 0 }).catch(() => undefined);
        const closings = await findOpenSlots(crewOf(model.connect({ meanwhile: () => undefined, steps: 0 })));
        expect(closings.filter(({ how }) => how === 'person')).toEqual([]);
      }),
      { numRuns: 150 },
    );
  });

  test('may go on beside the one that took over from it: both lose nothing', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, fc.integer({ min: 1, max: 100 }), async (its, laterBy) => {
        const { model, moves, planned, wrong, meanwhile } = begin(its);
        let second: Promise<unknown> | undefined;
        const tolerant = (work: Promise<void>) =>
          work.catch((error: unknown) => {
            if (!(error instanceof ServerError)) throw error; // the activity would look again, and go on
          });
        const first: Driver = {
          meanwhile: (step) => {
            meanwhile();
            if (step >= laterBy) second ??= tolerant(attempt(model, moves, its, { meanwhile, steps: 0 }));
          },
          steps: 0,
        };
        await tolerant(attempt(model, moves, its, first));
        await second;
        expect(lostWrites(model)).toEqual([]);
        await attempt(model, moves, its, { meanwhile, steps: 0 });
        model.gossipToAll();
        expect([...wrong, ...amissAtTheEnd(model, planned)]).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

test('no key is sent twice, however the batches cut the slots', async () => {
  const keys = Array.from({ length: 30 }, (_, index) => `${index % 6}:${index}`);
  for (let batchKeys = 1; batchKeys <= keys.length; batchKeys++) {
    const model = createSlotModel(2, [0, 0, 0, 0, 0, 0], keys);
    const nodes = model.connect({ meanwhile: () => undefined, steps: 0 });
    let sent = 0;
    const throttle: Throttle = {
      ...throttleOf({ batchKeys }),
      moved: async (count) => {
        sent += count;
      },
    };
    await moveGroup({ source: nodeAt(nodes, 0), destination: nodeAt(nodes, 1), others: [], slots: [0, 1, 2, 3, 4, 5] }, throttle);
    expect({ batchKeys, sent, there: model.servers[1]?.data.size }).toEqual({ batchKeys, sent: keys.length, there: keys.length });
  }
});

test('keys of a slot that may hold large ones are measured before they are sent, and those of others are not', async () => {
  const keys = ['1:a', '1:b', '1:c', '2:a', '4:a', '5:a', '5:b'];
  const model = createSlotModel(2, [0, 0, 0, 0, 0, 0], keys);
  const [node, destination] = model.connect({ meanwhile: () => undefined, steps: 0 });
  if (node === undefined || destination === undefined) throw new Error('it has two');
  const measured: number[] = [];
  const sent: (readonly number[])[] = [];
  const source: ConnectedNode = {
    ...node,
    split: (batch, bytes) => {
      measured.push(batch.count);
      return node.split(batch, bytes);
    },
    migrate: (lists, to, timeoutMs) => {
      sent.push(lists.map(({ count }) => count));
      return node.migrate(lists, to, timeoutMs);
    },
  };
  const group = { source, destination, others: [], slots: [0, 1, 2, 3, 4, 5], careful: new Set([1, 4]) };
  await moveGroup(group, throttleOf({ batchKeys: 10 }));
  expect(measured).toEqual([3, 1]);
  expect(sent).toEqual([[2], [1], [1], [1], [2]]);
  expect(amissAtTheEnd(model, [1, 1, 1, 1, 1, 1])).toEqual([]);
});

describe('the model finds out', () => {
  const busy = scenario.filter(({ writes, gossip, keysPerSlot }) => writes > 0 && gossip > 0 && keysPerSlot > 0);
  const wrongDrivers: Readonly<Record<string, typeof moveGroup>> = {
    'tells the destination that it owns the slots before the source is empty': async (group, throttle) => {
      await openSlots(group);
      await group.destination.claim(group.slots);
      await drain(group, throttle);
      await handOver(group, throttle);
    },
    'does not mark the slots at the source': async (group, throttle) => {
      await group.destination.importing(group.slots, group.source.nodeId);
      await drain(group, throttle);
      await handOver(group, throttle);
    },
    'does not count the keys at the source': async (group: GroupMove, throttle) => {
      await openSlots(group);
      const wanted = group.slots.map((slot) => ({ slot, most: throttle.batchKeys() }));
      await group.source.migrate(await group.source.keys(wanted), group.destination, 1);
      // As handOver does it, but for its own last look.
      const { source, destination, others, slots } = group;
      await destination.claim(slots);
      await source.assign(slots, destination.nodeId, 'lenient');
      await Promise.all(others.map((other) => other.assign(slots, destination.nodeId, 'lenient')));
    },
  };

  test.each(Object.entries(wrongDrivers))('that a driver which %s loses writes', async (_, wrongDriver) => {
    const result = await fc.check(
      fc.asyncProperty(busy, async (its) => {
        const { model, moves, meanwhile } = begin({ ...its, deaths: [] });
        await attempt(model, moves, its, { meanwhile, steps: 0 }, wrongDriver).catch((error: unknown) => {
          if (!(error instanceof ServerError)) throw error;
        });
        model.gossipToAll();
        expect(lostWrites(model)).toEqual([]);
      }),
      { numRuns: 300, endOnFailure: true },
    );
    expect(result.failed).toBe(true);
    expect(String(result.errorInstance)).toContain('expected [ ');
  });
});

/** Commands that any other driver, or a person, may have given; the server refuses what it would not take. */
const meddling = fc.array(
  fc.record({
    what: fc.constantFrom('importing', 'importing', 'migrating', 'migrating', 'migrate', 'assign', 'stable', 'gossip'),
    at: fc.nat(3),
    peer: fc.nat(3),
    slot: fc.nat(1),
  }),
  { maxLength: 12 },
);
type Meddling = typeof meddling extends fc.Arbitrary<readonly (infer T)[]> ? T : never;

async function meddle(model: SlotModel, nodes: readonly ConnectedNode[], { what, at, peer, slot: any }: Meddling): Promise<void> {
  const [node, other] = [nodeAt(nodes, at % nodes.length), nodeAt(nodes, peer % nodes.length)];
  const slot = any % model.slots;
  if (node === other) return;
  if (what === 'gossip') model.gossip(at, peer);
  else if (what === 'migrate') await node.migrate(await node.keys([{ slot, most: 2 }]), other, 1);
  else if (what === 'stable') await node.stable([slot]);
  else if (what === 'assign') await node.assign([slot], peer % 2 === 0 ? node.nodeId : other.nodeId);
  else await node[what]([slot], other.nodeId);
}

const newestOf = (model: SlotModel): ReadonlyMap<string, number> => {
  const newest = new Map<string, number>();
  for (const { data } of model.servers) for (const [key, value] of data) newest.set(key, Math.max(value, newest.get(key) ?? 0));
  return newest;
};

describe('closing what anybody left open', () => {
  test('keeps the keys that it sends, until all have been told whose their slots are', async () => {
    const model = createSlotModel(2, [0, 0], ['0:a', '1:b']);
    const told: string[] = [];
    const nodes = model.connect({ meanwhile: () => undefined, steps: 0 }).map(
      (node): ConnectedNode => ({
        ...node,
        migrate: (lists, destination, timeoutMs, keep) => {
          keep?.(new RawList(0, Buffer.alloc(0)));
          return node.migrate(lists, destination, timeoutMs);
        },
      }),
    );
    const [source, destination] = [nodeAt(nodes, 0), nodeAt(nodes, 1)];
    const crew: Crew = { ...crewOf(nodes), shardOf: (nodeId) => nodes.findIndex((node) => node.nodeId === nodeId) };
    const say = (what: string) => (way: Way) => void told.push(`${what} ${way.from}>${way.to}`);
    const unconfirmed = {
      keep: say('keep'),
      handedOver: say('handed over'),
      room: async () => undefined,
    } as Partial<Unconfirmed> as Unconfirmed;
    await openSlots({ source, destination, others: [], slots: [0, 1] });
    await closeOpenSlots(crew, 2, throttleOf({ batchKeys: 1 }), unconfirmed);
    expect(told).toEqual(['keep 0>1', 'keep 0>1', 'handed over 0>1']);
    expect(lostWrites(model)).toEqual([]);
  });

  test('leaves a slot with a key that would have a server killed to a person, and closes all others', async () => {
    const [MIB, GIB] = [2 ** 20, 2 ** 30];
    const model = createSlotModel(2, [0, 0, 0], ['0:a', '1:b', '1:huge', '2:c']);
    const containers = ['demo-0-0', 'demo-1-0'].map((name, shard) => ({ name, address: `10.0.0.${shard + 1}`, memoryBytes: GIB }));
    const nodes = model.connect({ meanwhile: () => undefined, steps: 0 }).map(
      (node): ConnectedNode => ({
        ...node,
        split: async (batch) =>
          (await node.split(batch, 1)).map((part) =>
            Object.assign(part, { bytes: JSON.stringify(part).includes('huge') ? 300 * MIB : 100 }),
          ),
        wire: { ...node.wire, one: async (...words) => (words[0] === 'INFO' ? `used_memory:${400 * MIB}` : node.wire.one(...words)) },
      }),
    );
    const crew: Crew = { ...crewOf(nodes), now: () => ({ observation: { containers } }) as unknown as ClusterNow };
    await openSlots({ source: nodeAt(nodes, 0), destination: nodeAt(nodes, 1), others: [], slots: [0, 1, 2] });
    const { finished, persons } = await closeOpenSlots(crew, 2, throttleOf({ batchKeys: 5 }));
    expect(finished).toEqual([0, 2]);
    expect(persons).toEqual([
      {
        slot: 1,
        why: expect.stringContaining('has 300 MiB, and demo-1-0 holds it 5 times while it takes it: 1900 MiB with the rest, of 1024'),
      },
    ]);
    expect([...(model.servers[0]?.data.keys() ?? [])]).toContain('1:huge');
    expect((await findOpenSlots(crew)).map(({ slot, how }) => [slot, how])).toEqual([[1, 'finish']]);
    expect(lostWrites(model)).toEqual([]);
  });

  test('takes no key away, closes every slot that needs no person, and leaves those that do as they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 4 }),
        fc.integer({ min: 1, max: 2 }),
        meddling,
        fc.nat(2),
        async (servers, slots, commands, keysPerSlot) => {
          const keys = Array.from({ length: slots }, (_, slot) => Array.from({ length: keysPerSlot }, (__, i) => `${slot}:${i}`)).flat();
          const model = createSlotModel(
            servers,
            Array.from({ length: slots }, (_, slot) => slot % servers),
            keys,
          );
          const nodes = model.connect({ meanwhile: () => undefined, steps: 0 });
          for (const command of commands) await meddle(model, nodes, command).catch(() => undefined);
          const before = newestOf(model);
          const marks = () =>
            model.servers.map(({ migrating, importing }) => JSON.stringify([[...migrating].sort(), [...importing].sort()]));
          const { finished, settled, persons } = await closeOpenSlots(crewOf(nodes), 3, throttleOf({ batchKeys: 2 }));
          expect(newestOf(model)).toEqual(before);
          const again = await findOpenSlots(crewOf(nodes));
          expect(again.map(({ slot }) => slot)).toEqual(persons.map(({ slot }) => slot).toSorted((a, b) => a - b));
          const left = marks();
          await closeOpenSlots(crewOf(nodes), 3, throttleOf({ batchKeys: 2 }));
          expect(marks()).toEqual(left);
          for (const slot of [...finished, ...settled]) {
            const claims = model.servers.filter((server) => server.owners[slot] === server.id);
            expect(claims).toHaveLength(1);
            const holders = model.servers.filter(({ data }) => [...data.keys()].some((key) => key.startsWith(`${slot}:`)));
            expect(holders.every((holder) => claims.includes(holder))).toBe(true);
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});
