import { expect, test } from 'vitest';
import { memoryFromStats } from '../../activities/migration/survey.ts';

/** A row of CLUSTER SLOT-STATS as it comes over a connection. */
const row = (slot: number, stats: Readonly<Record<string, number>>) => [
  slot,
  Object.entries(stats).flatMap(([name, value]) => [Buffer.from(name), value]),
];

test('the memory of slots is what the server says of each, wherever it stands in the row', () => {
  const rows = [
    row(0, { 'key-count': 2, 'cpu-usec': 3, 'network-bytes-in': 4, 'network-bytes-out': 5, 'memory-bytes': 600 }),
    row(7, { 'memory-bytes': 0, 'key-count': 0 }),
  ];
  expect(memoryFromStats(rows)).toEqual(
    new Map([
      [0, 600],
      [7, 0],
    ]),
  );
});

test.each([
  ['that keeps keys, CPU and traffic only, as Valkey does', [row(0, { 'key-count': 2, 'cpu-usec': 3, 'network-bytes-in': 4 })]],
  ['that keeps it for some slots only', [row(0, { 'memory-bytes': 600 }), row(1, { 'key-count': 2 })]],
  ['that owns no slot', []],
  ['that answers with something else', ['rows', 1, null]],
])('is measured by samples at a server %s', (_, rows) => {
  expect(memoryFromStats(rows)).toBeUndefined();
});
