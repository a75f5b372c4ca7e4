import { AsyncLocalStorage } from 'node:async_hooks';
import { activityInfo, getClient, heartbeat } from '@temporalio/activity';
import { isTooLate } from './awaited.ts';

interface Beat {
  details: unknown;
}

const current = new AsyncLocalStorage<Beat>();
const EVERY_MS = 1000;

/** Says how far the running activity is; the next attempt finds it in its heartbeat details. Sent with the next beat. */
export function report(details: unknown): void {
  const beat = current.getStore();
  if (beat !== undefined) beat.details = details;
}

/** What an earlier attempt of this activity reported last, if there was one. */
export const reported = (): unknown => activityInfo().heartbeatDetails;

type Activities = Record<string, (...args: never[]) => Promise<unknown>>;

/**
 * Makes every activity of a group heartbeat once a second while it runs. So a killed worker is noticed within the heartbeat timeout and not
 * at the end of the activity's time, and a cancellation arrives. What was reported last is sent again with each beat, never lost. An attempt that nobody waits for any more is not begun.
 */
export function beating<A extends Activities>(activities: A): A {
  return Object.fromEntries(
    Object.entries(activities).map(([name, run]) => [
      name,
      (...args: never[]) => {
        const beat: Beat = { details: activityInfo().heartbeatDetails };
        return current.run(beat, async () => {
          const timer = setInterval(() => heartbeat(beat.details), EVERY_MS);
          try {
            if (await isTooLate(getClient)) throw new Error('this attempt was given up before it began');
            return await run(...args);
          } finally {
            clearInterval(timer);
          }
        });
      },
    ]),
  ) as A;
}
