import type { FailureType } from '../../config/failures.ts';
import type { OperationName } from '../../config/operations.ts';

/**
 * The input of an operation, or new limits of a running one, do not fit their schema. Nothing was started or changed. The message has a line for
 * each thing that is wrong.
 */
export class InvalidInput extends Error {
  override readonly name = 'InvalidInput';
  readonly operation: OperationName | 'limits';
  /** Where in the input and what, for programs. */
  readonly issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[];

  constructor(operation: OperationName | 'limits', message: string, issues: InvalidInput['issues']) {
    super(`The input of ${operation} cannot be used:\n${message}`);
    this.operation = operation;
    this.issues = issues;
  }
}

/** How an operation can end badly: a failure of its own, or an end that came from outside. */
export type FailureKind = FailureType | 'Cancelled' | 'Terminated' | 'TimedOut' | 'Unknown';

/** An operation, or a question such as status, ended without a result. */
export class OperationFailed extends Error {
  override readonly name = 'OperationFailed';
  readonly type: FailureKind;
  readonly workflowId: string;
  /** What the failure carries: findings, the holder of a lock, refusals. */
  readonly details: readonly unknown[];

  constructor(type: FailureKind, message: string, workflowId: string, details: readonly unknown[], options?: ErrorOptions) {
    super(message, options);
    this.type = type;
    this.workflowId = workflowId;
    this.details = details;
  }
}

/** No workflow has this id. */
export class OperationNotFound extends Error {
  override readonly name = 'OperationNotFound';
}

/** No keeper holds a cluster of this name. */
export class ClusterNotKept extends Error {
  override readonly name = 'ClusterNotKept';
}

/** Temporal does not answer, or does not have the namespace. */
export class TemporalUnreachable extends Error {
  override readonly name = 'TemporalUnreachable';
}

/** Temporal answers, but no worker takes the work. What was started stays and runs as soon as there is one. */
export class NoWorker extends Error {
  override readonly name = 'NoWorker';
}

/** The operation does not take this request now, for example an approval that it never asked for. */
export class RequestRefused extends Error {
  override readonly name = 'RequestRefused';
}
