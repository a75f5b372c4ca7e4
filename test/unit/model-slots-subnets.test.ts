import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countSlots, evenSlotRanges, formatRange, parseRange, SLOTS } from '../../model/slots.ts';
import { addressAt, freeSubnets, subnetsOverlap, usableOffsets } from '../../model/subnets.ts';

const number = (address: string) => address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
const bounds = (cidr: string): readonly [number, number] => {
  const [address = '', prefix = '32'] = cidr.split('/');
  const size = 2 ** (32 - Number(prefix));
  const base = Math.floor(number(address) / size) * size;
  return [base, base + size - 1];
};

const cidr = (min: number, max: number) =>
  fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.integer({ min, max })).map(([b, c, d, prefix]) => `10.${b}.${c}.${d}/${prefix}`);

describe('slots', () => {
  const shards = fc.integer({ min: 1, max: 1000 });

  test('any number of shards covers each of the 16384 slots exactly once', () => {
    fc.assert(
      fc.property(shards, (count) => {
        const ranges = evenSlotRanges(count);
        expect(ranges).toHaveLength(count);
        expect(countSlots(ranges)).toBe(SLOTS);
        expect(ranges[0]?.[0]).toBe(0);
        expect(ranges.at(-1)?.[1]).toBe(SLOTS - 1);
        for (const [i, [from]] of ranges.entries()) if (i > 0) expect(from).toBe((ranges[i - 1]?.[1] ?? Number.NaN) + 1);
      }),
    );
  });

  test('shares differ by one slot at most', () => {
    fc.assert(
      fc.property(shards, (count) => {
        const shares = evenSlotRanges(count).map((range) => countSlots([range]));
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('a range is read back as it was written', () => {
    const range = fc.tuple(fc.nat(SLOTS - 1), fc.nat(SLOTS - 1)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
    fc.assert(
      fc.property(range, (one) => {
        expect(parseRange(formatRange(one))).toEqual(one);
      }),
    );
  });
});

describe('subnets', () => {
  test('two subnets overlap exactly when they share an address', () => {
    fc.assert(
      fc.property(cidr(8, 32), cidr(8, 32), (a, b) => {
        const [[a0, a1], [b0, b1]] = [bounds(a), bounds(b)];
        expect(subnetsOverlap(a, b)).toBe(a0 <= b1 && b0 <= a1);
      }),
    );
  });

  test('free subnets lie in the pool, are aligned, and overlap neither what is taken nor one another', () => {
    fc.assert(
      fc.property(cidr(12, 26), fc.integer({ min: 16, max: 28 }), fc.array(cidr(14, 32), { maxLength: 12 }), (pool, prefix, taken) => {
        const free = [...take(freeSubnets(pool, prefix, taken), 40)];
        const [low, high] = bounds(pool);
        for (const [i, subnet] of free.entries()) {
          const [from, to] = bounds(subnet);
          expect(number(subnet.split('/')[0] ?? '')).toBe(from);
          expect(from).toBeGreaterThanOrEqual(low);
          expect(to).toBeLessThanOrEqual(high);
          for (const other of [...taken, ...free.slice(0, i)]) expect(subnetsOverlap(subnet, other)).toBe(false);
        }
      }),
    );
  });

  test('every subnet of the pool is offered when none is taken, lowest first', () => {
    expect([...freeSubnets('10.213.0.0/22', 24, [])]).toEqual(['10.213.0.0/24', '10.213.1.0/24', '10.213.2.0/24', '10.213.3.0/24']);
  });

  test('a pool that is smaller than the subnet that is wanted has none', () => {
    expect([...freeSubnets('10.213.5.0/24', 20, [])]).toEqual([]);
  });

  test('addresses of a subnet count from its base', () => {
    expect(addressAt('10.213.7.0/24', 1)).toBe('10.213.7.1');
    expect(addressAt('10.213.0.0/20', 300)).toBe('10.213.1.44');
    expect(usableOffsets('10.0.0.0/24')).toBe(254);
  });
});

function* take<T>(from: Iterable<T>, count: number): Generator<T> {
  let left = count;
  for (const one of from) {
    if (left-- === 0) return;
    yield one;
  }
}
