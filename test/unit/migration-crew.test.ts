import { S3ServiceException } from '@aws-sdk/client-s3';
import { CancelledFailure } from '@temporalio/common';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { lookAtCluster, type MigrationDeps } from '../../activities/migration/cluster-now.ts';
import { type Crew, type Gathering, gatherCrew, isStoppedWait, throughFailovers } from '../../activities/migration/crew.ts';
import { ServerError } from '../../activities/redis/protocol.ts';
import { WireLost } from '../../activities/redis/wire.ts';
import { fatal, passing } from '../../activities/support/failure.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { testSpec } from '../support/clusters.ts';

vi.mock('../../activities/migration/cluster-now.ts', () => ({ lookAtCluster: vi.fn() }));
// The clock of the test has no hold on this one.
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => new Promise((resolve) => void setTimeout(resolve, ms)) }));
const look = vi.mocked(lookAtCluster);

const cluster = { spec: clusterSpec.parse(testSpec('demo')), clusterId: '0123456789abcdef' };
const NODE_AWAY_MS = 60_000;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
  look.mockReset();
});

/** How the wait for a cluster ends, and after how many seconds. */
async function waits(gathering: Partial<Gathering>) {
  const start = Date.now();
  const ended = gatherCrew({} as MigrationDeps, cluster, { nodeAwayMs: NODE_AWAY_MS, mends: false, ...gathering }).then(
    () => ({ error: undefined, seconds: (Date.now() - start) / 1000 }),
    (error: unknown) => ({ error, seconds: (Date.now() - start) / 1000 }),
  );
  await vi.advanceTimersByTimeAsync(2 * NODE_AWAY_MS);
  return ended;
}

describe('a cluster that is not ready', () => {
  beforeEach(() => {
    look.mockRejectedValue(new WireLost('demo-3-0 does not answer'));
  });

  test('is waited for as long as nodes may be away', async () => {
    const { error, seconds } = await waits({});
    expect(error).toMatchObject({ type: 'NodeAway', nonRetryable: true });
    expect(seconds).toBeCloseTo(NODE_AWAY_MS / 1000, 0);
  });

  test('is not waited for when somebody wants it to stop', async () => {
    const { error, seconds } = await waits({ stopped: () => true });
    expect(isStoppedWait(error)).toBe(true);
    expect(seconds).toBeCloseTo(2, 0);
  });

  test('is, while something would be lost, and until nothing would any more', async () => {
    const start = Date.now();
    const { error, seconds } = await waits({ stopped: () => true, holds: () => Date.now() - start < 20_000 });
    expect(isStoppedWait(error)).toBe(true);
    expect(seconds).toBeCloseTo(20, 0);
  });

  test.each([
    ['a minute, when somebody wants it to stop', true, 3_600_000, 60],
    ['as long as nodes may be away', false, 50_000, 50],
    ['half a minute at least', false, 10_000, 30],
    ['half a minute at least, also for who wants it to stop', true, 10_000, 30],
  ])('is given up in the end, whatever is lost: after %s', async (_, isStopped, nodeAwayMs, after) => {
    const { error, seconds } = await waits({ stopped: () => isStopped, holds: () => true, nodeAwayMs });
    expect(isStoppedWait(error)).toBe(isStopped);
    expect(error).toMatchObject({ type: 'NodeAway', nonRetryable: !isStopped });
    expect(seconds).toBeCloseTo(after, 0);
  });
});

describe.each([
  ['an engine that does not answer', passing('HostUnreachable', 'the Docker engine does not answer')],
  [
    'a bucket that answers with a number',
    new S3ServiceException({ name: 'UnknownError', $fault: 'server', $metadata: { httpStatusCode: 503 } }),
  ],
  ['Temporal that does not say whether another attempt has taken over', new CancelledFailure('this attempt was cancelled')],
])('%s', (_, away) => {
  test('ends the attempt at once: another one asks again', async () => {
    look.mockRejectedValue(away);
    expect(await waits({})).toEqual({ error: away, seconds: 0 });
  });

  test('is waited for while something would be lost', async () => {
    look.mockRejectedValue(away);
    const { error, seconds } = await waits({ holds: () => true });
    expect(error).toMatchObject({ type: 'NodeAway' });
    expect(seconds).toBeCloseTo(NODE_AWAY_MS / 1000, 0);
  });
});

describe('an engine', () => {
  test('that says something final is not waited for', async () => {
    const full = fatal('HostFull', 'no space left on device');
    look.mockRejectedValue(full);
    expect(await waits({ holds: () => true })).toEqual({ error: full, seconds: 0 });
  });
});

describe('what is done through failovers', () => {
  const crewOf = (refresh: Crew['refresh']): Crew => ({ round: 7, refresh }) as Crew;

  test('is done again after each, with the cluster as it is then', async () => {
    const seen: number[] = [];
    const errors = [new WireLost('10.0.0.2 is gone'), new ServerError('READONLY it has become a replica')];
    const done = await throughFailovers(
      crewOf(async (round) => void seen.push(round)),
      async () => {
        const error = errors.shift();
        if (error !== undefined) throw error;
        return 'done';
      },
    );
    expect(done).toBe('done');
    expect(seen).toEqual([7, 7]);
  });

  test.each<[string, Error, number]>([
    ['a failover that never ends: five times', new WireLost('10.0.0.2 is gone'), 5],
    ['anything else: once', new ServerError('NOPERM it may not'), 1],
  ])('is given up after %s', async (_, error, times) => {
    let tries = 0;
    const doing = throughFailovers(
      crewOf(async () => undefined),
      async () => {
        tries++;
        throw error;
      },
    );
    await expect(doing).rejects.toBe(error);
    expect(tries).toBe(times);
  });

  test('is given up when the cluster does not come back', async () => {
    const away = fatal('NodeAway', 'it was away for too long');
    const doing = throughFailovers(
      crewOf(() => Promise.reject(away)),
      () => Promise.reject(new WireLost('10.0.0.2 is gone')),
    );
    await expect(doing).rejects.toBe(away);
  });
});
