import { describe, expect, test } from 'vitest';
import type { Crew } from '../../activities/migration/crew.ts';
import { removes, watchRemovals } from '../../activities/migration/removals.ts';

type Stats = Readonly<Record<string, number>>;

/** Servers that say what they are told to: counters of INFO, and calls of commands by name. */
function createServers(...nodeIds: readonly string[]) {
  const servers = new Map(nodeIds.map((nodeId) => [nodeId, { stats: {} as Stats, calls: {} as Stats }]));
  const lines = (fields: Stats, line: (name: string, value: number) => string) =>
    Object.entries(fields)
      .map(([name, value]) => line(name, value))
      .join('\r\n');
  const ask = (nodeId: string) => async (commands: readonly (readonly unknown[])[]) =>
    commands.map(([, section]) => {
      const { stats, calls } = servers.get(nodeId) ?? { stats: {}, calls: {} };
      return section === 'stats'
        ? lines(stats, (name, value) => `${name}:${value}`)
        : lines(calls, (name, value) => `cmdstat_${name}:calls=${value},usec=7,usec_per_call=1.00,rejected_calls=3,failed_calls=1`);
    });
  return {
    crew: { primaries: () => [...servers.keys()].map((nodeId) => ({ nodeId, wire: { ask: ask(nodeId) } })) } as unknown as Crew,
    say(nodeId: string, stats: Stats, calls: Stats = {}) {
      servers.set(nodeId, { stats, calls });
    },
  };
}

/** What `others` says when these have been called once more since. */
async function othersAfter(calls: Stats, stats: Stats = {}): Promise<number> {
  const { crew, say } = createServers('a', 'b');
  const [before, after] = [Object.fromEntries(Object.keys(calls).map((name) => [name, 5])), { ...calls }];
  for (const [name, more] of Object.entries(calls)) after[name] = 5 + more;
  say('a', { evicted_keys: 10, expired_keys: 20 }, before);
  const { others } = await watchRemovals(crew);
  say('a', { evicted_keys: 10, expired_keys: 20, ...stats }, after);
  return others();
}

describe('keys that others have removed', () => {
  test('are none when nobody has called anything that removes', async () => {
    expect(await othersAfter({ get: 100, set: 100, migrate: 100, 'restore-asking': 100, 'cluster|setslot': 100 })).toBe(0);
  });

  test('are at most one for each call of a command for one key, and each that was evicted or has expired', async () => {
    expect(await othersAfter({ spop: 3, expire: 2, get: 100 }, { evicted_keys: 14, expired_keys: 21, expired_subkeys: 5 })).toBe(15);
  });

  test.each([
    'del',
    'unlink',
    'eval',
    'evalsha',
    'fcall',
    'flushall',
    'flushdb',
    'swapdb',
    'cluster|flushslot',
    'json.del',
    'ft.dropindex',
  ])('are any number once %s was called, and none when that was before', async (command) => {
    expect(await othersAfter({ [command]: 1 })).toBe(Number.POSITIVE_INFINITY);
    expect(await othersAfter({ [command]: 0 })).toBe(0);
  });

  test.each(['eval_ro', 'evalsha_ro', 'fcall_ro', 'sort_ro', 'georadius_ro'])('are none when %s was called', async (command) => {
    expect(await othersAfter({ [command]: 100 })).toBe(0);
  });

  test('are any number when a server has begun to count anew, or has come new', async () => {
    const { crew, say } = createServers('a');
    say('a', { expired_keys: 20 });
    const { others } = await watchRemovals(crew);
    say('a', { expired_keys: 3 });
    expect(await others()).toBe(Number.POSITIVE_INFINITY);
    say('a', { expired_keys: 20 });
    expect(await others()).toBe(0);
    say('b', {});
    expect(await others()).toBe(Number.POSITIVE_INFINITY);
  });
});

test('each command that takes keys away one by one is known by name', () => {
  const names =
    'getdel getex rename move restore lpop rpop blpop brpop lmpop blmpop lrem ltrim rpoplpush brpoplpush lmove blmove spop srem smove sinterstore ' +
    'sunionstore sdiffstore sort zpopmin zpopmax bzpopmin bzpopmax zmpop bzmpop zrem zremrangebyrank zremrangebyscore zremrangebylex zinterstore ' +
    'zunionstore zdiffstore zrangestore hdel hgetdel hgetex hsetex expire pexpire expireat pexpireat hexpire hpexpire hexpireat hpexpireat bitop ' +
    'georadius georadiusbymember geosearchstore delifeq delex vrem';
  expect(names.split(' ').filter((name) => removes(name) !== 'one')).toEqual([]);
});

describe('over attempts', () => {
  test('what was removed while an earlier one ran counts', async () => {
    const { crew, say } = createServers('a');
    say('a', { expired_keys: 20 }, { lpop: 1 });
    const first = await watchRemovals(crew);
    say('a', { expired_keys: 23 }, { lpop: 2 });
    expect(await (await watchRemovals(crew, first.baseline)).others()).toBe(4);
    expect(await (await watchRemovals(crew)).others()).toBe(0);
  });

  test('a server that was restarted in between has forgotten how many, also when it has counted more by now', async () => {
    const { crew, say } = createServers('a');
    say('a', { expired_keys: 20 });
    const first = await watchRemovals(crew);
    say('a', { expired_keys: 3 });
    const second = await watchRemovals(crew, first.baseline);
    say('a', { expired_keys: 30 });
    expect(await second.others()).toBe(Number.POSITIVE_INFINITY);
    expect(await (await watchRemovals(crew, second.baseline)).others()).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('evictions', () => {
  test('are counted from the beginning of the whole move, over attempts', async () => {
    const { crew, say } = createServers('a', 'b');
    say('a', { evicted_keys: 100 });
    const first = await watchRemovals(crew, {});
    expect(first.baseline).toMatchObject({ a: { evicted: 100 }, b: { evicted: 0 } });
    expect(await first.evicted()).toBe(0);
    say('a', { evicted_keys: 103 });
    say('b', { evicted_keys: 4 });
    const second = await watchRemovals(crew, first.baseline);
    expect(second.baseline).toEqual(first.baseline);
    expect(await second.evicted()).toBe(7);
    expect(await (await watchRemovals(crew)).evicted()).toBe(0);
  });

  test('of a server that was restarted are those that it knows of, also when it knows of more than before', async () => {
    const { crew, say } = createServers('a');
    say('a', { evicted_keys: 100 });
    const first = await watchRemovals(crew);
    say('a', { evicted_keys: 2 });
    expect(await first.evicted()).toBe(2);
    const second = await watchRemovals(crew, first.baseline);
    expect(second.baseline).toMatchObject({ a: { evicted: 0 } });
    say('a', { evicted_keys: 150 });
    expect(await second.evicted()).toBe(150);
  });

  test('of a replica that was promoted all count, since it may have been at work between two attempts', async () => {
    const { crew, say } = createServers('a');
    const first = await watchRemovals(crew);
    say('b', { evicted_keys: 6 });
    expect(await first.evicted()).toBe(6);
    const second = await watchRemovals(crew, first.baseline);
    expect(await second.evicted()).toBe(6);
    expect(second.baseline).toEqual(first.baseline);
  });
});
