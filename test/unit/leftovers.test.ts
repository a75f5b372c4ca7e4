import { afterEach, expect, test, vi } from 'vitest';
import { madeLeftovers } from '../../activities/support/leftovers.ts';

const MIB = 1024 ** 2;

afterEach(() => vi.unstubAllGlobals());

test('young objects are collected each time that 4 MiB more of leftovers were made, however they add up', () => {
  const gc = vi.fn();
  vi.stubGlobal('gc', gc);
  madeLeftovers(16 * MIB); // whatever was made before in this process
  gc.mockClear();
  for (let made = 0; made < 3; made++) madeLeftovers(MIB);
  expect(gc).not.toHaveBeenCalled();
  madeLeftovers(MIB);
  expect(gc.mock.calls).toEqual([[{ type: 'minor' }]]);
  madeLeftovers(40 * MIB);
  expect(gc).toHaveBeenCalledTimes(2);
});

test('a process that may not collect goes on', () => {
  vi.stubGlobal('gc', undefined);
  expect(() => madeLeftovers(20 * MIB)).not.toThrow();
});
