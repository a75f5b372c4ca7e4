import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { describe, expect, test } from 'vitest';
import type { Crew } from '../../activities/migration/crew.ts';
import type { Governor } from '../../activities/migration/governor.ts';
import { type GroupRunner, runLane } from '../../activities/migration/lane.ts';
import type { Ledger } from '../../activities/migration/ledger.ts';
import { createProgress } from '../../activities/migration/move-progress.ts';
import { type MoveRequest, noTotals } from '../../activities/migration/move-state.ts';
import type { Probe } from '../../activities/migration/probe.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { moveLimits } from '../../config/migration.ts';
import { noLatencies } from '../../model/migration/latency.ts';
import type { SlotMove } from '../../model/migration/moves.ts';
import { testSpec } from '../support/clusters.ts';
import { createNativeServer, type Fate } from './migration-native-servers.ts';

const move: SlotMove = { from: 0, to: 1, slots: [[0, 3]] };

/** A lane whose source is a Valkey that moves slots by itself as it is told. @param movedBefore keys that an earlier attempt has moved */
function lane(fates: readonly Fate[], { mayFallBack = true, movedBefore = 0, looks = 2 } = {}) {
  const server = createNativeServer('valkey', fates, looks);
  const count = async (slots: readonly number[]) => slots.map(() => 5);
  const nodes = [server, createNativeServer('valkey')].map(({ wire }, shard) => ({ wire, nodeId: `${shard}`.repeat(40), count }));
  const crew = {
    round: 0,
    primary: (shard: number) => nodes[shard],
    refresh: async () => undefined,
    slots: (shard: number) => (shard === 0 ? [0, 1, 2, 3] : []),
  } as unknown as Crew;
  let stopping = false;
  const governor = {
    mayOpen: async () => (stopping ? 'stop' : 'open'),
    stop: () => {
      stopping = true;
    },
    get stopping() {
      return stopping;
    },
    heldMs: () => 0,
  } as unknown as Governor;
  const ledger = {
    size: 0,
    slots: () => [],
    numbers: () => ({}),
    prepare: async () => new Set(),
    ownKeys: async (_: unknown, slots: readonly number[]) => slots.map(() => 0),
    check: async () => [],
  } as unknown as Ledger;
  const probe = { open: () => undefined, close: () => undefined, all: () => noLatencies } as unknown as Probe;
  const request: MoveRequest = {
    clusterId: 'demo',
    moves: [move],
    strategy: 'native',
    mayFallBack,
    expected: { keys: 20, bytes: 2000 },
    bytesPerKey: [100, 100],
    careful: '0-3',
    limits: moveLimits.parse({}),
    spec: clusterSpec.parse(testSpec('demo', { replicasPerShard: 0 })),
  };
  const sources = { ledger, probe, governor, waitsFor: () => undefined, countedBefore: () => ({}), since: Date.now() };
  const progress = createProgress(request, { ...noTotals('native'), keys: movedBefore }, sources);
  const jobs = { running: 0, taken: false };
  const runner = {
    ...request,
    ...{ crew, governor, probe, ledger, progress, jobs },
    moveGroup: () => Promise.reject(new Error('nobody has looked for large keys')),
    evicted: async () => 0,
  } as unknown as GroupRunner;
  return {
    ...{ server, jobs, progress, governor },
    /** Until it ends; what went wrong when it did not end well. */
    run: (): Promise<unknown> =>
      new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') }).run(() =>
        runLane(runner, [move]).then(
          () => undefined,
          (error: unknown) => error,
        ),
      ),
  };
}

const failedFor = (why: string) => ({
  type: failures.migrationFailed,
  message: expect.stringContaining(`the servers gave up moving slots by themselves: ${why}`),
});

describe.concurrent('a lane whose server moves slots by itself', () => {
  test('asks for them and has moved them', async () => {
    const { run, progress } = lane(['success']);
    expect(await run()).toBeUndefined();
    expect(progress.left(move)).toEqual([]);
    expect(progress.fellBack()).toBeUndefined();
    expect(progress.totals()).toMatchObject({ strategy: 'native', keys: 20 });
  });

  test('asks again when the server has refused, or its job has failed', async () => {
    const { run, progress, server } = lane(['refused', 'refused', 'failed', 'success']);
    expect(await run()).toBeUndefined();
    expect(progress.left(move)).toEqual([]);
    expect(server.asks()).toBe(4);
  });

  test('ends with nothing moved, and the reason, when the server goes on refusing: nobody has looked for large keys yet', async () => {
    const { run, progress, governor, server } = lane(['refused']);
    expect(await run()).toBeUndefined();
    expect(progress.fellBack()).toBe('ERR not today');
    expect([progress.left(move), governor.stopping, server.asks()]).toEqual([[0, 1, 2, 3], true, 5]);
    // What the next attempt is told of it does not let it go on by MIGRATE on its own.
    expect(progress.totals()).toMatchObject({ strategy: 'native' });
  });

  test.each([
    ['its job fails again and again, however soon', ['failed'], { looks: 0 }, 'the link broke'],
    ['it refuses after a job has failed', ['failed', 'refused'], {}, 'ERR not today'],
    ['it refuses after slots have moved', ['refused'], { movedBefore: 7 }, 'ERR not today'],
    ['it refuses, and nothing else is wanted', ['refused'], { mayFallBack: false }, 'ERR not today'],
  ] as const)('fails, and does not fall back, when %s', async (_, fates, more, why) => {
    const { run, progress } = lane(fates, more);
    expect(await run()).toMatchObject(failedFor(why));
    expect(progress.fellBack()).toBeUndefined();
  });

  test('does not fall back when it refuses after the job of an earlier attempt has come to an end', async () => {
    const { run, progress, server } = lane(['refused']);
    server.busy(3);
    expect(await run()).toMatchObject(failedFor('ERR not today'));
    expect(progress.fellBack()).toBeUndefined();
  });

  test('waits while the server refuses since it has a job of another lane', async () => {
    const { run, jobs, progress, server } = lane([...new Array<Fate>(7).fill('refused'), 'success']);
    jobs.running = 1;
    expect(await run()).toBeUndefined();
    expect([progress.left(move), server.asks()]).toEqual([[], 8]);
  });

  test('asks for nothing more once another lane has ended the move', async () => {
    const { run, jobs, governor, progress, server } = lane(['refused']);
    jobs.running = 1;
    setTimeout(governor.stop, 500);
    expect(await run()).toBeUndefined();
    expect(server.asks()).toBeLessThan(4);
    expect(progress.fellBack()).toBeUndefined();
  });
});
