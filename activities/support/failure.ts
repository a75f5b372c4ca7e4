import { ApplicationFailure } from '@temporalio/common';
import type { FailureType } from '../../config/failures.ts';

/** A failure that trying again cannot mend: the message says what a person can do. */
export const fatal = (type: FailureType, message: string, ...details: readonly unknown[]): ApplicationFailure =>
  ApplicationFailure.nonRetryable(message, type, ...details);

/** A failure that passes when the outside comes back; retried by the policy of the activity, then shown as it is. */
export const passing = (type: FailureType, message: string, cause?: unknown): ApplicationFailure =>
  ApplicationFailure.create({ type, message, nonRetryable: false, ...(cause instanceof Error ? { cause } : {}) });

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message || error.name : String(error));
