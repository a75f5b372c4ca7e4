import calculateSlot from 'cluster-key-slot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scanBigKeys } from '../../activities/migration/big-keys.ts';
import { copiesOf, type KeyCopy } from '../../activities/migration/key-copies.ts';
import { openSlots } from '../../activities/migration/move-group.ts';
import { type ConnectedNode, connectNode } from '../../activities/migration/slot-node.ts';
import { asOperator } from '../../activities/redis/connection.ts';
import { listItems, RawList, type Reply } from '../../activities/redis/protocol.ts';
import { openWire, type Wire } from '../../activities/redis/wire.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { systemUsers } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { parseRanges, slotsOf } from '../../model/migration/moves.ts';
import type { BigKeyScan } from '../../model/migration/survey.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask } from './ask.ts';

const everything = process.env.TEST_ALL === 'true';

const all = [
  { engine: 'redis', version: '7.0' },
  { engine: 'valkey', version: '9.1' },
  { engine: 'redis', version: '8.0' },
  { engine: 'valkey', version: '8.1' },
] as const;
const SAMPLE = 2;

const [maxKeyBytes, batchBytes] = [64 * 1024, 16 * 1024];
const large = 'x'.repeat(100_000);
/** Every name that breaks a protocol or a script which takes names for text. */
const binary = Buffer.from([0, 13, 10, 36, 53, 13, 10, 255, 39, 93, 93]);
const longName = `${'n'.repeat(100)}-and-more`;
/** More keys in a slot than a primary measures in one go, than a replica does, and than are looked at. */
const [SOME, MANY, TOO_MANY] = [700, 1700, 50_001];

const slotOf = (name: string | Buffer): number => calculateSlot(name as string);
const big = [
  { key: 'list', slot: slotOf('list') },
  { key: 'hash', slot: slotOf('hash') },
  { key: 'text', slot: slotOf('text') },
  { key: `{some}:${SOME}`, slot: slotOf('some') },
  { key: `{many}:${MANY}`, slot: slotOf('many') },
  { key: "\\x00\\x0d\\x0a$5\\x0d\\x0a\\xff']]", slot: slotOf(binary) },
  { key: `${'n'.repeat(100)}...`, slot: slotOf(longName) },
];

let stack: Stack;
const names: string[] = [];

beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const plant = (cluster: string) =>
  asApplication(
    stack,
    cluster,
    async (app) => {
      for (let i = 0; i < 300; i++) await app.set(`small:${i}`, i);
      for (const [tag, count] of [
        ['some', SOME],
        ['many', MANY],
        ['too-many', TOO_MANY],
      ] as const) {
        for (let i = 0; i < count; i += 1000) {
          await app.mset(...Array.from({ length: Math.min(1000, count - i) }, (_, n) => [`{${tag}}:${i + n}`, 'x']).flat());
        }
      }
      await app.set(`{some}:${SOME}`, large);
      await app.set(`{many}:${MANY}`, large);
      await app.set(`{too-many}:large`, large);
      await app.rpush('list', ...Array.from({ length: 1000 }, (_, i) => `${i}`.padEnd(100, '.')));
      await app.hset('hash', Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`field ${i}`, `${i}`.padEnd(100, '.')])));
      await app.set('text', large);
      await app.callBuffer('SET', binary, large);
      await app.set(longName, large);
      await app.set('in between', 'x'.repeat(30_000));
    },
    { user: systemUsers.operator },
  );

describe.each(everything ? all : all.slice(0, SAMPLE))('$engine $version', ({ engine, version }) => {
  const cluster = uniqueName();
  const specWith = (replicasPerShard: number) => testSpec(cluster, { engine, version, replicasPerShard });
  let shards: StatusReport['shards'] = [];
  let nodes: readonly { readonly shard: number; readonly role: string; readonly wire: Wire }[] = [];
  /** What nodes answer to a command of the operator. */
  const everywhere = (role: 'primary' | 'replica' | 'any', ...command: readonly string[]) =>
    Promise.all(nodes.filter((node) => role === 'any' || node.role === role).map(({ wire }) => wire.one(...command)));
  const keysOf = async (role: 'primary' | 'replica') => (await everywhere(role, 'DBSIZE')).map(Number).sort();
  /** Nodes that have been asked by scripts. */
  const asked = async (role: 'primary' | 'replica') =>
    (await everywhere(role, 'INFO', 'commandstats')).filter((stats) => String(stats).includes('cmdstat_eval_ro:')).length;
  /** By a spec without replicas the primaries are all that there is. */
  const scan = async (replicasPerShard = 1) => {
    const { secrets, docker, settings } = stack.dependencies;
    return scanBigKeys(
      { secrets, docker, hostName: settings.HOLDFAST_HOST },
      {
        spec: clusterSpec.parse(specWith(replicasPerShard)),
        clusterId: (await secrets.require(cluster)).clusterId,
        moves: shards.map(({ slots }, from) => ({ from, to: (from + 1) % 3, slots: parseRanges(slots.join(',')) })),
        maxKeyBytes,
        batchBytes,
      },
    );
  };

  const primaryOf = async (shard: number) => {
    const node = shards[shard]?.nodes.find(({ role }) => role === 'primary');
    const wire = nodes.find((one) => one.role === 'primary' && one.shard === shard)?.wire;
    return { nodeId: String(await wire?.one('CLUSTER', 'MYID')), address: node?.address ?? '' };
  };

  const addressOf = async (shard: number) =>
    asOperator(await stack.dependencies.secrets.require(cluster), true, { kind: 'data', address: (await primaryOf(shard)).address });
  const connectedPair = async (owner: number): Promise<readonly [ConnectedNode, ConnectedNode]> => {
    const connect = async (shard: number) => connectNode((await primaryOf(shard)).nodeId, await addressOf(shard));
    return [await connect(owner), await connect((owner + 1) % 3)];
  };
  /** Slots with small keys, and their owners. */
  let smallSlots: (readonly [number, number])[] = [];

  beforeAll(async () => {
    names.push(cluster);
    await ask(stack, 'provision', { spec: specWith(1) });
    ({ shards } = await ask<StatusReport>(stack, 'status', { cluster }));
    const held = await stack.dependencies.secrets.require(cluster);
    nodes = await Promise.all(
      shards.flatMap((of, shard) =>
        of.nodes.map(async ({ role, address }) => ({
          shard,
          role: String(role),
          wire: await openWire(asOperator(held, true, { kind: 'data', address: address ?? '' })),
        })),
      ),
    );
    await plant(cluster);
    const others = new Set(big.map(({ slot }) => slot));
    smallSlots = Array.from({ length: 300 }, (_, i) => slotOf(`small:${i}`)).flatMap((slot) =>
      others.has(slot) ? [] : [[ownerOf(shards, slot), slot] as const],
    );
    await until('the replicas have every key', async () => String(await keysOf('primary')) === String(await keysOf('replica')), 30_000);
  });
  afterAll(() => {
    for (const { wire } of nodes) wire.close();
  });

  test('large keys of any kind and name are found on replicas, and the slots that need care are named', async () => {
    const found = await scan();
    expect(found.big.map(({ key, slot }) => ({ key, slot })).toSorted(bySlot)).toEqual(big.toSorted(bySlot));
    expect(found.bigCount).toBe(big.length);
    for (const { slot, shard, bytes } of found.big) {
      expect(bytes).toBeGreaterThan(maxKeyBytes);
      expect(ownerOf(shards, slot)).toBe(shard);
    }
    const careful = new Set([...big.map(({ slot }) => slot), slotOf('in between'), slotOf('too-many')]);
    expect(slotsOf(parseRanges(found.careful))).toEqual([...careful].sort((a, b) => a - b));
    const keys = (await keysOf('primary')).reduce((sum, one) => sum + one, 0);
    expect(found).toMatchObject({ keys, looked: keys - TOO_MANY - 1 });
    expect([await asked('primary'), await asked('replica')]).toEqual([0, 3]);
  });

  test('the same is found on primaries where there is no replica, and nothing there looks like a removal', async () => {
    expect(withoutBytes(await scan(0))).toEqual(withoutBytes(await scan()));
    expect(await asked('primary')).toBe(3);
    for (const stats of await everywhere('any', 'INFO', 'commandstats')) expect(String(stats)).not.toMatch(/cmdstat_(eval|evalsha):/);
  });

  test('the same is found when the servers refuse scripts', async () => {
    const found = [await scan(0), await scan(1)];
    await everywhere('any', 'ACL', 'SETUSER', systemUsers.operator, '-eval_ro');
    expect([await scan(0), await scan(1)]).toEqual(found);
    const logs = await everywhere('any', 'ACL', 'LOG');
    expect(logs.filter((log) => wordsOf(log).includes('eval_ro'))).toHaveLength(6);
    await everywhere('any', 'ACL', 'SETUSER', systemUsers.operator, '+eval_ro');
  });

  test('the same is found while a slot is open', async () => {
    const found = await scan(0);
    const slot = slotOf('text');
    const owner = ownerOf(shards, slot);
    const on = (shard: number, ...words: readonly (string | number)[]) =>
      nodes.find((node) => node.role === 'primary' && node.shard === shard)?.wire.one('CLUSTER', ...words);
    const other = (owner + 1) % 3;
    const [from, to] = [String(await on(owner, 'MYID')), String(await on(other, 'MYID'))];
    await on(other, 'SETSLOT', slot, 'IMPORTING', from);
    await on(owner, 'SETSLOT', slot, 'MIGRATING', to);
    expect(await scan(0)).toEqual(found);
  });

  test('keys are sent as they are, uncompressed, also when some of them are gone by then, and nobody finds another setting', async () => {
    const slot = slotOf('many');
    const owner = ownerOf(shards, slot);
    const connected = await connectedPair(owner);
    const [source, destination] = connected;
    try {
      await openSlots({ source, destination, others: [], slots: [slot] });
      const copies: KeyCopy[] = [];
      const send = async (keys: number, gone: number) => {
        const lists = await source.keys([{ slot, most: keys }]);
        const names = lists.flatMap((list) => (list instanceof RawList ? listItems(list) : []));
        expect(names).toHaveLength(keys);
        if (gone > 0) await source.wire.one('UNLINK', ...names.slice(0, gone));
        else await source.wire.one('SET', names[0] ?? '', large);
        const before = copies.length;
        await source.migrate(lists, destination, 1500, (kept) => copies.push(...copiesOf(kept)));
        return copies.slice(before);
      };
      const transactions = async () => callsOf(String(await source.wire.one('INFO', 'commandstats')), 'exec');
      const [first] = await send(50, 0);
      expect([await source.count([slot]), await destination.count([slot])]).toEqual([[MANY - 49], [50]]);
      expect(await transactions()).toBe(1);
      expect(first?.dump.length).toBeGreaterThan(large.length); // a long row of the same letter would be a few hundred bytes
      await send(MANY - 49, 3);
      expect([await source.count([slot]), await destination.count([slot])]).toEqual([[0], [MANY - 2]]);
      expect(await transactions()).toBe(1); // it was refused, and nothing of it was done
      expect(copies).toHaveLength(MANY - 2);
      for (const reply of await everywhere('any', 'CONFIG', 'GET', 'rdbcompression'))
        expect(wordsOf(reply)).toEqual(['rdbcompression', 'yes']);
    } finally {
      for (const node of connected) node.close();
    }
  });

  test.each([
    ['maxmemory', '1', 'it is full: it may queue nothing, and is the one that is to give slots away'],
    ['rdbcompression', 'no', 'somebody wants it not to compress, and it stays so'],
  ])('keys leave a server whose %s is %s: %s', async (parameter, value) => {
    const [owner, slot] = smallSlots.shift() ?? [0, 0];
    const [source, destination] = await connectedPair(owner);
    const [, before] = wordsOf(await source.wire.one('CONFIG', 'GET', parameter));
    try {
      const keys = await source.count([slot]);
      await openSlots({ source, destination, others: [], slots: [slot] });
      await source.wire.one('CONFIG', 'SET', parameter, value);
      const asked = await connectNode(source.nodeId, await addressOf(owner));
      await asked.migrate(await asked.keys([{ slot, most: 10 }]), destination, 1500).finally(asked.close);
      expect([await source.count([slot]), await destination.count([slot])]).toEqual([[0], keys]);
      expect(keys[0]).toBeGreaterThan(0);
      expect(wordsOf(await source.wire.one('CONFIG', 'GET', parameter))).toEqual([parameter, value]);
    } finally {
      await source.wire.one('CONFIG', 'SET', parameter, before ?? '');
      for (const node of [source, destination]) node.close();
    }
  });
});

/** How often a server has carried out a command. */
const callsOf = (stats: string, command: string): number => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);

const bySlot = (a: { readonly slot: number }, b: { readonly slot: number }): number => a.slot - b.slot;

/** Two servers do not store a key in quite the same number of bytes. */
const withoutBytes = (scan: BigKeyScan) => ({ ...scan, big: scan.big.map(({ bytes, ...key }) => key).toSorted(bySlot) });

const ownerOf = (shards: StatusReport['shards'], slot: number): number =>
  shards.findIndex(({ slots }) => parseRanges(slots.join(',')).some(([from, to]) => slot >= from && slot <= to));

/** Every string of a nested reply. */
const wordsOf = (reply: Reply): readonly string[] =>
  Array.isArray(reply) ? (reply as readonly Reply[]).flatMap(wordsOf) : [String(reply)];
