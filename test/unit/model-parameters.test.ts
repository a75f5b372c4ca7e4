import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { allowedServerParameters } from '../../config/server-parameters.ts';
import { normalise, sameValue } from '../../model/parameters.ts';

describe('a server has what a spec asks for', () => {
  test.each([
    ['maxmemory', '64mb', '67108864'],
    ['maxmemory', '64m', '64000000'],
    ['maxmemory', '1GB', '1073741824'],
    ['repl-backlog-size', '1k', '1000'],
    ['hz', '010', '10'],
    ['timeout', '0', '0'],
    ['save', '3600 1 300 100', '3600 1 300 100'],
    ['save', '', ''],
    ['notify-keyspace-events', 'KEA', 'AKE'],
    ['notify-keyspace-events', 'lEg', 'gElE'],
    ['notify-keyspace-events', 'Eg$lshzxetd', 'AE'],
    ['client-output-buffer-limit', 'pubsub 32mb 8mb 60', 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60'],
    ['client-output-buffer-limit', 'replica 256mb 64mb 60', 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60'],
    ['client-output-buffer-limit', 'pubsub 1mb 1mb 60 normal 0 0 0', 'normal 0 0 0 replica 1 1 1 pubsub 1048576 1048576 60'],
  ])('%s: %s is %s', (name, wanted, actual) => {
    expect(sameValue(name, wanted, actual)).toBe(true);
  });
});

describe('a server lacks what a spec asks for', () => {
  test.each([
    ['maxmemory', '64mb', '64000000'],
    ['maxmemory-policy', 'noeviction', 'allkeys-lru'],
    ['save', '', '3600 1'],
    ['save', '3600 1', ''],
    ['notify-keyspace-events', 'KA', 'AE'],
    ['notify-keyspace-events', 'KEA', 'KEg'],
    ['notify-keyspace-events', '', 'KE'],
    ['client-output-buffer-limit', 'pubsub 32mb 8mb 61', 'normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60'],
    ['hz', '10', ''],
  ])('%s: %s is not %s', (name, wanted, actual) => {
    expect(sameValue(name, wanted, actual)).toBe(false);
  });
});

test('a value is always the same as itself', () => {
  const value = fc.stringMatching(/^[a-z0-9 $-]{0,20}$/);
  fc.assert(fc.property(fc.constantFrom(...Object.keys(allowedServerParameters)), value, (name, one) => sameValue(name, one, one)));
});

test('a size is normalised once and for all', () => {
  const size = fc
    .tuple(fc.nat(1e6), fc.constantFrom('', 'b', 'k', 'kb', 'm', 'mb', 'g', 'gb', 'GB', 'Kb'))
    .map(([n, unit]) => `${n}${unit}`);
  fc.assert(fc.property(size, (one) => normalise(normalise(one)) === normalise(one) && /^\d+$/.test(normalise(one))));
});
