import { expect, test } from 'vitest';
import { partBytesFor } from '../../activities/backup/store-rdb.ts';

const [MIB, GIB] = [1024 ** 2, 1024 ** 3];

test.each([
  [0, 5],
  [1 * GIB, 5],
  [3000 * MIB, 5],
  [3001 * MIB, 6],
  [5 * GIB, 9],
  [64 * GIB, 64],
])('a shard of %i bytes goes in parts of %i MiB: as S3 takes them, few enough, and none that fills a worker', (memoryBytes, mib) => {
  expect(partBytesFor({ memoryBytes })).toBe(mib * MIB);
  if (mib < 64) expect(memoryBytes / partBytesFor({ memoryBytes })).toBeLessThanOrEqual(600);
});
