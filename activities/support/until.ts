import { AsyncLocalStorage } from 'node:async_hooks';
import { activityInfo, CancelledFailure, cancellationSignal, sleep } from '@temporalio/activity';

interface UntilOptions {
  readonly timeoutMs: number;
  /** Pause between two looks. @default 100 */
  readonly everyMs?: number;
  /** What it throws when the time is over. */
  readonly late: () => Error;
}

/**
 * Looks again and again until `look` gives something other than undefined. Obeys cancellation between two looks; a cancelled activity throws
 * CancelledFailure. Must run inside an activity.
 */
export async function until<T>(look: () => Promise<T | undefined>, { timeoutMs, everyMs = 100, late }: UntilOptions): Promise<T> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (Date.now() >= end) throw late();
    await sleep(everyMs);
  }
}

const ownEnd = new AsyncLocalStorage<() => boolean>();

/**
 * Runs what ends in its own time when it is cancelled, because it would leave something half done. It must find out by itself whether it still may.
 * @param isOver whether nothing may be touched any more
 */
export const endingItself = <T>(isOver: () => boolean, run: () => Promise<T>): Promise<T> => ownEnd.run(isOver, run);

/**
 * Throws when the server has given this attempt up, or a person has cancelled it: another one may be at work, or its steps are being undone,
 * and two must not touch the same things.
 */
export function refuseWhenCancelled(): void {
  const isOver = ownEnd.getStore() ?? (() => inActivity() && cancellationSignal().aborted);
  if (isOver()) throw new CancelledFailure('this attempt was cancelled');
}

function inActivity(): boolean {
  try {
    activityInfo();
    return true;
  } catch {
    return false; // doctor and connect use the same code from the command line
  }
}

/** How many times this activity was started, from 1. */
export const attempt = (): number => (inActivity() ? activityInfo().attempt : 1);
