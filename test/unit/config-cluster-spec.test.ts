import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type ClusterSpecInput, clusterSpec, parseBytes } from '../../config/cluster-spec.ts';
import { engineCatalogue } from '../../config/engines.ts';
import { systemUsers } from '../../config/names.ts';
import { allowedServerParameters, ownedServerParameters } from '../../config/server-parameters.ts';
import { anySpec } from './model-observations.ts';

const least = { name: 'orders', engine: 'valkey', version: '9.1' } as const satisfies ClusterSpecInput;

/** What a person reads when a spec is refused. */
function refusalOf(spec: unknown): string {
  const parsed = clusterSpec.safeParse(spec);
  return parsed.success ? 'accepted' : z.prettifyError(parsed.error);
}

test('name, engine and version make a spec: everything else has a safe default', () => {
  expect(clusterSpec.parse(least)).toEqual({
    ...least,
    mode: 'cluster',
    shards: 3,
    replicasPerShard: 1,
    sentinels: 0,
    resources: { memory: '256Mi', cpus: 1 },
    config: {},
    backup: {
      enabled: true,
      schedule: '0 3 * * *',
      timezone: 'UTC',
      jitterSeconds: 600,
      verify: 'load',
      retention: { daily: 7, weekly: 4, monthly: 12, minimum: 1 },
      drillEveryDays: 0,
    },
    pitr: { enabled: false, rpoSeconds: 2, windowDays: 7 },
    persistence: { aof: true, fsync: 'everysec', snapshots: [] },
    security: { tls: true, users: [] },
    placement: { hosts: ['local'] },
    network: {},
    deletionProtection: true,
    labels: {},
  });
});

test('in sentinel mode the default is one primary, one replica and three sentinels', () => {
  expect(clusterSpec.parse({ ...least, mode: 'sentinel' })).toMatchObject({ shards: 1, replicasPerShard: 1, sentinels: 3 });
});

test('a user without rules may use all keys, but nothing that is for administrators or dangerous', () => {
  const { security } = clusterSpec.parse({ ...least, security: { users: [{ name: 'app' }] } });
  expect(security.users).toEqual([{ name: 'app', rules: '~* &* +@all -@admin -@dangerous +info', secret: 'generated' }]);
});

test('a server parameter may be given as a number', () => {
  expect(clusterSpec.parse({ ...least, config: { hz: 20 } }).config).toEqual({ hz: '20' });
});

test.each(['0 3 * * *', '*/15 0-6,22 1,15 jan-mar MON-fri', '59 23 31 12 6', '0 0 1-31/7 * sun'])(
  'the schedule "%s" is one',
  (schedule) => {
    expect(clusterSpec.parse({ ...least, backup: { schedule } }).backup.schedule).toBe(schedule);
  },
);

test.each([
  '0 24 * * *',
  '60 3 * * *',
  '0 3 0 * *',
  '0 3 * 13 *',
  '0 3 * * 7',
  '0 3 * * foo',
  '0 3 * *',
  '0  3 * * *',
  '5-3 * * * *',
  '*/0 * * * *',
  '1-2-3 * * * *',
  '@daily',
  '',
])('the schedule "%s" is refused before anything is made', (schedule) => {
  expect(() => clusterSpec.parse({ ...least, backup: { schedule } })).toThrow(/five cron fields/);
});

test('parsing a parsed spec again changes nothing', () => {
  fc.assert(
    fc.property(anySpec(500), (spec) => {
      expect(clusterSpec.parse(spec)).toEqual(spec);
    }),
  );
});

test('every version of the catalogue is accepted, and one that nobody has seen work is refused with those that are', () => {
  for (const { engine, version } of engineCatalogue) expect(refusalOf({ name: 'orders', engine, version })).toBe('accepted');
  expect(refusalOf({ ...least, version: '6.2' })).toContain('valkey 6.2 is not in the catalogue; known: "8.1", "9.1"');
});

const user = (changes: object) => ({ ...least, security: { users: [{ name: 'app', ...changes }] } });

describe('what cannot be is refused with a sentence that says why', () => {
  test.each([
    ['a field that does not exist', { ...least, shard: 3 }, 'shard'],
    ['a name with capitals', { ...least, name: 'Orders' }, 'lower-case letters, digits and dashes'],
    ['a name of one letter', { ...least, name: 'o' }, '2 to 40'],
    ['a name that is too long', { ...least, name: 'o'.repeat(41) }, '2 to 40'],
    ['a name that ends with a dash', { ...least, name: 'orders-' }, 'ends with a letter or digit'],
    ['another engine', { ...least, engine: 'memcached' }, 'engine'],
    ['two shards', { ...least, shards: 2 }, 'at least 3 shards to agree on a failover'],
    ['too many shards', { ...least, shards: 501 }, 'shards'],
    ['more nodes than gossip bears', { ...least, shards: 500, replicasPerShard: 2 }, '1500 nodes are more than the 1000'],
    ['sentinels in cluster mode', { ...least, sentinels: 3 }, 'sentinels belong to mode: sentinel'],
    ['shards in sentinel mode', { ...least, mode: 'sentinel', shards: 3 }, 'sentinel mode has one primary'],
    ['an even number of sentinels', { ...least, mode: 'sentinel', sentinels: 4 }, 'give 3 or 5 sentinels'],
    ['sentinels with nothing to fail over to', { ...least, mode: 'sentinel', replicasPerShard: 0 }, 'at least one replica'],
    [
      'a cluster parameter in sentinel mode',
      { ...least, mode: 'sentinel', config: { 'cluster-node-timeout': 5000 } },
      'no meaning in sentinel mode',
    ],
    ['too many replicas', { ...least, replicasPerShard: 6 }, 'replicasPerShard'],
    ['a size that is none', { ...least, resources: { memory: '256MB' } }, 'a size looks like 512Mi or 2Gi'],
    ['too little memory', { ...least, resources: { memory: '32Mi' } }, 'at least 64Mi'],
    ['no CPU', { ...least, resources: { cpus: 0 } }, 'cpus'],
    ['a user of Holdfast', user({ name: systemUsers.operator }), 'belongs to Holdfast'],
    ['the default user', user({ name: 'default' }), 'belongs to Holdfast'],
    ['a user with a space', user({ name: 'a b' }), 'a user name has letters, digits'],
    ['a password in the rules', user({ rules: '~* >secret' }), 'rules cannot hold passwords'],
    ['a password hash in the rules', user({ rules: '~* #0011' }), 'rules cannot hold passwords'],
    ['a user without password', user({ rules: '~* nopass' }), 'nopass'],
    ['a reset in the rules', user({ rules: 'RESET ~*' }), 'reset'],
    ['a second line in the rules', user({ rules: '~*\nuser evil on nopass' }), 'one line'],
    ['a password where a reference belongs', user({ secret: 'hunter2' }), 'a secret is "generated"'],
    ['a path where a file name belongs', user({ secret: 'file:../../etc/passwd' }), 'a secret is "generated"'],
    ['a user twice', { ...least, security: { users: [{ name: 'app' }, { name: 'app' }] } }, 'user app is there twice'],
    ['a subnet that is none', { ...least, network: { subnet: '10.0.0.0' } }, 'subnet'],
    ['two hosts', { ...least, placement: { hosts: ['a', 'b'] } }, 'hosts'],
    ['a label with a capital', { ...least, labels: { Team: 'x' } }, 'lower-case letters, digits, dots'],
    ['a snapshot after no time', { ...least, persistence: { snapshots: [{ seconds: 0, changes: 1 }] } }, 'seconds'],
  ])('%s', (_, spec, says) => {
    expect(refusalOf(spec)).toContain(says);
  });
});

describe('server parameters', () => {
  test.each(Object.keys(ownedServerParameters))('%s is Holdfast’s own, and the reason is told', (name) => {
    expect(refusalOf({ ...least, config: { [name]: 'yes' } })).toContain(`${name} cannot be set here: ${ownedServerParameters[name]}`);
  });

  test('none is both allowed and owned', () => {
    expect(Object.keys(allowedServerParameters).filter((name) => name in ownedServerParameters)).toEqual([]);
  });

  test('a typo is refused, and the message says where the list is', () => {
    expect(refusalOf({ ...least, config: { maxmemory_policy: 'noeviction' } })).toContain(
      'maxmemory_policy is not in the list of parameters that a spec may set; see docs/spec.md',
    );
  });

  test.each(['constructor', 'toString', 'hasOwnProperty'])('a name that JavaScript itself uses (%s) is refused like any other', (name) => {
    expect(refusalOf({ ...least, config: { [name]: '1' } })).toContain('is not in the list of parameters');
  });

  test.each([
    ['maxmemory-policy', 'lru', 'noeviction'],
    ['hz', 'often', 'a whole number'],
    ['maxmemory', '1 GB', 'a size such as 64mb'],
    ['activedefrag', 'true', 'yes or no'],
    ['client-output-buffer-limit', 'normal 0 0', 'class, hard limit'],
    ['notify-keyspace-events', 'Q', 'letters of keyspace event classes'],
  ])('%s: %s is refused with what it should look like', (name, value, says) => {
    expect(refusalOf({ ...least, config: { [name]: value } })).toContain(says);
  });

  test('no accepted value can start a second line or argument in server.conf', () => {
    const anyValue = fc.oneof(fc.string(), fc.constantFrom('0 0 0\nuser x', 'yes\nuser evil', '1mb "', 'normal 0 0 0 \n'));
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(allowedServerParameters)), anyValue, (name, value) => {
        const parsed = clusterSpec.safeParse({ ...least, config: { [name]: value } });
        expect(parsed.success && /[\r\n"'\\]/.test(parsed.data.config[name] ?? '')).toBe(false);
      }),
    );
  });
});

describe('sizes', () => {
  test.each([
    ['64', 64],
    ['5K', 5000],
    ['5Ki', 5120],
    ['500M', 500_000_000],
    ['512Mi', 536_870_912],
    ['2G', 2_000_000_000],
    ['2Gi', 2_147_483_648],
  ])('%s is %d bytes', (size, bytes) => {
    expect(parseBytes(size)).toBe(bytes);
  });

  test.each(['', 'Mi', '1.5Gi', '1 Gi', '-1Gi', '1gi', '1GiB'])('"%s" is no size', (size) => {
    expect(parseBytes(size)).toBeNaN();
  });

  test('binary suffixes multiply', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1e6 }), (n) => parseBytes(`${n}Mi`) === n * 1024 * parseBytes('1Ki')));
  });
});
