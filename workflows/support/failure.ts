import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  ChildWorkflowFailure,
  isCancellation,
  TimeoutFailure,
} from '@temporalio/workflow';
import { type FailureType, failures } from '../../config/failures.ts';

/** Fails the workflow at once with a message for a person. A raw throw would fail the workflow task, which is retried for ever. */
export const fail = (type: FailureType | (string & {}), message: string, ...details: readonly unknown[]): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, type, ...details);

/** The reason behind what Temporal wraps around it, for a person. */
export function reasonOf(error: unknown): string {
  const cause = causeOf(error);
  if (cause instanceof TimeoutFailure) return `it did not end in time (${cause.timeoutType}); is a worker running? holdfast doctor`;
  return cause instanceof Error ? cause.message : String(cause);
}

/** The type of the failure that an activity threw, or what fits best. */
export function typeOf(error: unknown): string {
  const cause = causeOf(error);
  if (cause instanceof ApplicationFailure && cause.type !== undefined && cause.type !== null) return cause.type;
  return cause instanceof TimeoutFailure ? failures.hostUnreachable : 'Error';
}

export function detailsOf(error: unknown): readonly unknown[] {
  const cause = causeOf(error);
  return cause instanceof ApplicationFailure ? (cause.details ?? []) : [];
}

/** An activity said itself that trying again cannot help; all else may have been passing, the end of a worker, or a cancellation. */
export function isFinal(error: unknown): boolean {
  const cause = causeOf(error);
  return cause instanceof ApplicationFailure && cause.nonRetryable === true;
}

/**
 * What a cancelled scope has come to, as the cancellation that it is. The server tries nothing again that shall stop: of an attempt that fails in passing just then, or whose worker dies, comes
 * that failure, or a timeout, and no more.
 */
export function asCancelled(error: unknown): unknown {
  const stopped = error instanceof ActivityFailure && CancellationScope.current().consideredCancelled;
  return stopped && !isCancellation(error) && !isFinal(error) ? new CancelledFailure(`cancelled; ${reasonOf(error)}`) : error;
}

function causeOf(error: unknown): unknown {
  return (error instanceof ActivityFailure || error instanceof ChildWorkflowFailure) && error.cause !== undefined ? error.cause : error;
}

/** Runs what may fail outside of any step, and fails with the reason itself, where Temporal would say "Activity task failed". */
export async function plainly<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isCancellation(error) ? error : fail(typeOf(error), reasonOf(error), ...detailsOf(error));
  }
}

export { isCancellation };
