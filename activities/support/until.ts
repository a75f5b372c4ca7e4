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

/**
 * Throws when the server has given this attempt up, or a person has cancelled it: another one may be at work, or its steps are being undone,
 * and two must not touch the same things.
 */
export function refuseWhenCancelled(): void {
  if (inActivity() && cancellationSignal().aborted) throw new CancelledFailure('this attempt was cancelled');
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
