import type { Info } from '@temporalio/activity';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, test } from 'vitest';
import { engineCall, engineFailure } from '../../activities/docker/engine.ts';
import { beating, report, reported } from '../../activities/support/beating.ts';
import { messageOf } from '../../activities/support/failure.ts';
import { endingItself, refuseWhenCancelled, until } from '../../activities/support/until.ts';

const answer = (statusCode: number, message: string) => Object.assign(new Error(message), { statusCode });
const system = (code: string) => Object.assign(new Error(`connect ${code} /var/run/docker.sock`), { code });

describe('what an engine says', () => {
  test.each<[string, Error, string, boolean]>([
    ['that nobody listens', system('ECONNREFUSED'), 'HostUnreachable', false],
    ['that the socket is not there', system('ENOENT'), 'HostUnreachable', false],
    ['that it went away in the middle', new Error('socket hang up'), 'HostUnreachable', false],
    ['that it shuts down', answer(500, 'server is shutting down'), 'HostUnreachable', false],
    ['a full disk', answer(500, 'write /data: no space left on device'), 'HostFull', true],
    ['no memory', answer(500, 'fork/exec: cannot allocate memory'), 'HostFull', true],
    ['no image', answer(404, 'No such image: valkey/valkey:9.1'), 'ImageNotAvailable', true],
    ['an image that the registry lacks', answer(404, 'manifest unknown'), 'ImageNotAvailable', true],
    ['an image without the server', answer(400, 'exec: "valkey-server": executable file not found in $PATH'), 'ImageNotAvailable', true],
    ['anything else, the first time', answer(500, 'something odd'), 'EngineRefused', false],
  ])('%s is %s', (_, error, type, final) => {
    const failure = engineFailure(error, 'start orders-0-0');
    expect(failure).toMatchObject({ type, nonRetryable: final });
    expect(failure.message).toContain('cannot start orders-0-0: ');
    expect(failure.message).toContain(messageOf(error).slice(0, 12));
  });

  test('again and again is final in the end', async () => {
    const env = new MockActivityEnvironment({ attempt: 6 });
    expect(await env.run(async () => engineFailure(answer(500, 'something odd'), 'start it'))).toMatchObject({ nonRetryable: true });
  });

  test('404 is the answer "missing" where one was expected, and a failure where not', async () => {
    const gone = () => Promise.reject(answer(404, 'no such container'));
    expect(await engineCall('look', gone, () => 'missing')).toBe('missing');
    await expect(engineCall('look', gone)).rejects.toMatchObject({ type: 'EngineRefused' });
  });

  test('a failure that was classified already is passed on as it is', async () => {
    const classified = engineFailure(system('ENOENT'), 'start a');
    await expect(engineCall('start b', () => Promise.reject(classified))).rejects.toBe(classified);
  });
});

describe('until', () => {
  const late = () => new Error('too late');

  test('looks until there is something to see', async () => {
    let looks = 0;
    const seen = await new MockActivityEnvironment().run(() =>
      until(async () => (++looks < 4 ? undefined : `look ${looks}`), { timeoutMs: 5000, everyMs: 1, late }),
    );
    expect(seen).toBe('look 4');
  });

  test('looks at least once, and throws what it was told to when the time is over', async () => {
    let looks = 0;
    const waiting = new MockActivityEnvironment().run(() => until(async () => void looks++, { timeoutMs: 0, everyMs: 1, late }));
    await expect(waiting).rejects.toThrow('too late');
    expect(looks).toBe(1);
  });

  test('passes an error of the look on', async () => {
    const failing = () => until(() => Promise.reject(new Error('broken')), { timeoutMs: 1000, late });
    await expect(new MockActivityEnvironment().run(failing)).rejects.toThrow('broken');
  });

  test('ends as cancelled between two looks', async () => {
    const env = new MockActivityEnvironment();
    const looking = env.run(() => until(async () => void env.cancel(), { timeoutMs: 60_000, everyMs: 30_000, late }));
    await expect(looking).rejects.toMatchObject({ name: 'CancelledFailure' });
  });
});

describe('an activity that was cancelled', () => {
  test('touches the engine no more', async () => {
    const env = new MockActivityEnvironment();
    let calls = 0;
    const running = env.run(async () => {
      env.cancel();
      await engineCall('remove it', async () => ++calls);
    });
    await expect(running).rejects.toMatchObject({ name: 'CancelledFailure' });
    expect(calls).toBe(0);
  });

  test('goes on where it ends itself, until it says that it may not', async () => {
    const env = new MockActivityEnvironment();
    let calls = 0;
    let over = false;
    const running = env.run(() =>
      endingItself(
        () => over,
        async () => {
          env.cancel();
          await engineCall('look', async () => ++calls);
          over = true;
          await engineCall('remove it', async () => ++calls);
        },
      ),
    );
    await expect(running).rejects.toMatchObject({ name: 'CancelledFailure' });
    expect(calls).toBe(1);
  });

  test('is refused only inside of activities: doctor and connect use the same code', () => {
    expect(() => refuseWhenCancelled()).not.toThrow();
  });
});

describe('beating', () => {
  const onTime = (info: Partial<Info> = {}) => new MockActivityEnvironment({ currentAttemptScheduledTimestampMs: Date.now(), ...info });

  /** Runs an activity until it has sent so many heartbeats, and tells what they held. */
  async function beats(count: number, env: MockActivityEnvironment, work: () => Promise<unknown>): Promise<readonly unknown[]> {
    const seen: unknown[] = [];
    let enough: () => void = () => undefined;
    const heard = new Promise<void>((resolve) => {
      enough = resolve;
    });
    env.on('heartbeat', (details: unknown) => {
      seen.push(details);
      if (seen.length === count) enough();
    });
    const { activity } = beating({
      activity: async () => {
        await work();
        await heard;
      },
    });
    await env.run(activity);
    return seen;
  }

  test('an activity that only waits sends heartbeats all the same', async () => {
    expect(await beats(2, onTime(), async () => undefined)).toHaveLength(2);
  });

  test('every beat holds what was reported last', async () => {
    const seen = await beats(2, onTime(), async () => {
      report({ done: 1 });
      report({ done: 2 });
    });
    expect(seen).toEqual([{ done: 2 }, { done: 2 }]);
  });

  test('the first beat of a second attempt repeats what the first attempt reported, so that a third one finds it', async () => {
    const env = onTime({ heartbeatDetails: { done: 7 } });
    let found: unknown;
    const seen = await beats(1, env, async () => {
      found = reported();
    });
    expect(found).toEqual({ done: 7 });
    expect(seen).toEqual([{ done: 7 }]);
  });

  test('beats end with the activity, whether it ends well or not', async () => {
    const env = onTime();
    let count = 0;
    env.on('heartbeat', () => {
      count += 1;
    });
    const { fails, works } = beating({ fails: () => Promise.reject(new Error('broken')), works: async () => 'done' });
    await expect(env.run(fails)).rejects.toThrow('broken');
    expect(await env.run(works)).toBe('done');
    await beats(1, onTime(), async () => undefined); // another second goes by
    expect(count).toBe(0);
  });

  describe('an attempt that begins long after it was sent', () => {
    /** Temporal waits for this attempt of the activity; for none when its workflow has ended. */
    const waitingFor = (attempt: number | undefined) =>
      ({
        withDeadline: (_: number, run: () => unknown) => run(),
        withAbortSignal: (_: AbortSignal, run: () => unknown) => run(),
        workflow: {
          getHandle: () => ({
            describe: async () => {
              if (attempt === undefined) throw new WorkflowNotFoundError('gone', 'w', undefined);
              return {
                raw: {
                  pendingActivities: [
                    { activityId: 'other', attempt: 1 },
                    { activityId: 'test', attempt },
                  ],
                },
              };
            },
          }),
        },
      }) as unknown as Client;
    const late = (attempt: number | undefined, agoMs: number) =>
      new MockActivityEnvironment(
        { currentAttemptScheduledTimestampMs: Date.now() - agoMs, attempt: 2, activityId: 'test' },
        { client: waitingFor(attempt) },
      );
    const begun = async (env: MockActivityEnvironment) => {
      let did = false;
      const { works } = beating({
        works: async () => {
          did = true;
        },
      });
      const ended = await env.run(works).then(
        () => 'well',
        (error: Error) => error.message,
      );
      return [did, ended];
    };

    test.each([3, undefined])('is not begun when Temporal waits for attempt %s', async (attempt) => {
      expect(await begun(late(attempt, 9000))).toEqual([false, 'this attempt was given up before it began']);
      expect(await begun(late(attempt, -3_600_000)), 'by a clock that is slow').toEqual([
        false,
        'this attempt was given up before it began',
      ]);
    });

    test('is begun when it only had to wait for a worker', async () => {
      expect(await begun(late(2, 9000))).toEqual([true, 'well']);
    });
  });
});
