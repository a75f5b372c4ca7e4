import { expect, test } from 'vitest';
import type { Crew } from '../../activities/migration/crew.ts';
import type { Governor } from '../../activities/migration/governor.ts';
import { keyOfSlot, Ledger } from '../../activities/migration/ledger.ts';
import { createProgress } from '../../activities/migration/move-progress.ts';
import { type MoveRequest, type MoveTotals, noTotals } from '../../activities/migration/move-state.ts';
import type { Probe } from '../../activities/migration/probe.ts';
import { WireLost } from '../../activities/redis/wire.ts';
import { noLatencies } from '../../model/migration/latency.ts';
import type { SlotMove } from '../../model/migration/moves.ts';

const move: SlotMove = { from: 0, to: 1, slots: [[0, 3]] };
const request = {
  moves: [move],
  strategy: 'pipelined',
  expected: { keys: 40, bytes: 4000 },
  bytesPerKey: [100, 100],
  spec: { name: 'demo' },
} as unknown as MoveRequest;

/** One move of four slots; the ledger has a key in some of them. */
function begin({ start = noTotals('pipelined'), withKey = [0, 1, 2, 3] }: { start?: MoveTotals; withKey?: readonly number[] } = {}) {
  const ledger = new Ledger();
  ledger.resume(withKey, {}, 0);
  const probe = { all: () => noLatencies, recent: () => ({ p50: 1, p99: 2, p999: 3, max: 4, waiting: 0, samples: 5 }) } as unknown as Probe;
  const governor = { heldMs: () => 0, state: () => ({ state: 'moving' }) } as unknown as Governor;
  const sources = { ledger, probe, governor, waitsFor: () => undefined, countedBefore: () => ({}), since: Date.now() };
  return createProgress(request, start, sources);
}

/** The destination has these slots, with so many keys in each. */
const crewWith = (
  counts: Readonly<Record<number, number>>,
  count = async (slots: readonly number[]) => slots.map((slot) => counts[slot] ?? 0),
) =>
  ({
    slots: (shard: number) => [0, 1, 2, 3].filter((slot) => slot in counts === (shard === 1)),
    // Of the ledger's keys only those of slot 1 and below are there.
    primary: () => ({
      count,
      wire: {
        ask: async (commands: readonly (readonly string[])[]) =>
          commands.map(([, key]) => (key === keyOfSlot(0) || key === keyOfSlot(1) ? 1 : 0)),
      },
    }),
  }) as unknown as Crew;

test('a slot that arrives with one key fewer is noticed, although the ledger has put one in', () => {
  const progress = begin();
  progress.opened([0, 1], [11, 11]);
  progress.arrived(move, [0, 1], [11, 10], [1, 1]);
  expect(progress.shrunk()).toEqual({ keys: 1, slots: [1] });
  expect(progress.totals().keys).toBe(19);
});

test('what is missing is still missing for the attempt after the one that found it', () => {
  const first = begin();
  first.opened([0], [11]);
  first.arrived(move, [0], [8], [1]);
  expect(begin({ start: first.totals() }).shrunk()).toEqual({ keys: 3, slots: [0] });
});

test('slots that an earlier attempt had open are compared when somebody else has finished them', async () => {
  const first = begin();
  first.opened([0, 1, 2], [11, 11, 11]);
  const next = begin({ start: first.totals() });
  await next.begin(crewWith({ 0: 11, 1: 9 }));
  expect(next.shrunk()).toEqual({ keys: 2, slots: [1] });
  expect(next.left(move)).toEqual([2, 3]);
});

test('an attempt counts the keys of slots that have moved before it, and nobody counts a slot twice', async () => {
  const start = { ...noTotals('native'), keys: 7, bytes: 500, pairKeys: { '0>1': 7 } };
  const progress = begin({ start });
  await progress.begin(crewWith({ 0: 11, 1: 11 }));
  progress.opened([2], [11]);
  progress.moved(move, 6, 600);
  // Another lane looks while this one's slot has just arrived.
  await progress.begin(crewWith({ 0: 11, 1: 11, 2: 11 }));
  progress.arrived(move, [2], [11], [1]);
  progress.moved(move, -6, 0);
  expect(progress.totals()).toMatchObject({ keys: 30, pairKeys: { '0>1': 30 } });
  expect(progress.totals().bytes).toBeGreaterThanOrEqual(2000);
});

test('a key of the ledger that an attempt left whose last word did not come is not taken for one of the data', async () => {
  const progress = begin({ withKey: [] });
  await progress.begin(crewWith({ 0: 11, 1: 11, 2: 10 }));
  expect(progress.totals().keys).toBe(30);
});

test('a slot that went back after a failover counts when it comes again, and is compared again', async () => {
  const progress = begin();
  progress.opened([0], [11]);
  progress.arrived(move, [0], [11], [1]);
  await progress.begin(crewWith({ 1: 6 }));
  expect([progress.totals().keys, progress.left(move)]).toEqual([5, [0, 2, 3]]);
  progress.opened([0], [11]);
  progress.arrived(move, [0], [9], [1]);
  expect(progress.totals().keys).toBe(13);
  expect(progress.shrunk()).toEqual({ keys: 2, slots: [0] });
});

test('a server that does not answer just then is asked the next time', async () => {
  const progress = begin();
  const away = () => Promise.reject(new WireLost('10.0.0.1: gone'));
  await progress.begin(crewWith({ 0: 11 }, away));
  expect([progress.totals().keys, progress.left(move)]).toEqual([0, [1, 2, 3]]);
  await progress.begin(crewWith({ 0: 11 }));
  expect(progress.totals().keys).toBe(10);
  const broken = () => Promise.reject(new Error('no such command'));
  await expect(progress.begin(crewWith({ 0: 11, 1: 11 }, broken))).rejects.toThrow('no such command');
});

test('empty slots without a key of the ledger count as no key, and not as less', () => {
  const progress = begin({ withKey: [] });
  progress.opened([0, 1], [0, 0]);
  progress.arrived(move, [0, 1], [0, 0], [0, 0]);
  expect(progress.totals().keys).toBe(0);
  expect(progress.shrunk().keys).toBe(0);
});

test('a key of the ledger that was evicted counts once, however often it is missed', () => {
  const progress = begin();
  progress.evicted([0, 1]);
  progress.evicted([1]);
  expect(progress.totals().evicted).toBe(2);
});

test('what a client feels now is told with all its figures', () => {
  expect(begin().heartbeat().progress.latency).toEqual({ samples: 5, p50: 1, p99: 2, p999: 3, max: 4 });
});

test('the last word of an attempt that stops half way is told, however short the time since the one before', async () => {
  const progress = begin();
  const told: number[] = [];
  const tell = async ({ slots }: { readonly slots: number }) => void told.push(slots);
  await progress.tell(tell);
  progress.arrived(move, [0], [11], [1]);
  await progress.tell(tell);
  await progress.tell(tell, 'last');
  expect(told).toEqual([0, 1]);
});
