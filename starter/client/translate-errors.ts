import {
  ApplicationFailure,
  CancelledFailure,
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  QueryNotRegisteredError,
  ServiceError,
  TerminatedFailure,
  TimeoutFailure,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { type FailureType, failures } from '../../config/failures.ts';
import { type FailureKind, NoWorker, OperationFailed, OperationNotFound, RequestRefused, TemporalUnreachable } from './errors.ts';

/** gRPC status codes that we tell apart; the numbers are fixed by the protocol. */
const grpc = { notFound: 5, permissionDenied: 7, failedPrecondition: 9, unavailable: 14, unauthenticated: 16 } as const;

const known = new Set<string>(Object.values(failures));
const isFailureType = (type: string): type is FailureType => known.has(type);

/** The error and everything that it names as its cause, outermost first. */
function chain(error: unknown): readonly Error[] {
  const found: Error[] = [];
  for (let e = error; e instanceof Error && !found.includes(e); e = e.cause) found.push(e);
  return found;
}

/** What ended a workflow, out of the layers that Temporal wraps it in: a failure type of ours wins over one of a library. */
export function operationFailure(error: WorkflowFailedError, workflowId: string): OperationFailed {
  const causes = chain(error.cause);
  const applications = causes.filter((e) => e instanceof ApplicationFailure);
  const ours = applications.find((e) => isFailureType(e.type ?? '')) ?? applications.at(-1);
  const fail = (type: FailureKind, message: string, details: readonly unknown[] = []) =>
    new OperationFailed(type, message, workflowId, details, { cause: error });

  if (ours !== undefined) {
    const type = ours.type ?? '';
    return fail(isFailureType(type) ? type : 'Unknown', ours.message, ours.details ?? []);
  }
  if (causes.some((e) => e instanceof CancelledFailure)) return fail('Cancelled', 'The operation was cancelled.');
  if (causes.some((e) => e instanceof TerminatedFailure))
    return fail('Terminated', `Somebody terminated the workflow${reasonOf(causes)}. It had no chance to undo anything.`);
  if (causes.some((e) => e instanceof TimeoutFailure)) return fail('TimedOut', 'It did not end within its time.');
  return fail('Unknown', causes.at(-1)?.message ?? error.message);
}

const reasonOf = (causes: readonly Error[]) => {
  const message = causes.find((e) => e instanceof TerminatedFailure)?.message;
  return message === undefined || message === '' || message === 'Workflow execution terminated' ? '' : ` (${message})`;
};

/** Where a call went, for the messages. */
export interface CallTarget {
  readonly address: string;
  readonly namespace: string;
  readonly workflowId?: string;
}

/** Turns what the Temporal client throws into an error that says what to do next. Errors that it does not know pass as they are. */
export function translate(error: unknown, target: CallTarget): unknown {
  const { address, namespace, workflowId = '' } = target;
  if (error instanceof WorkflowFailedError) return operationFailure(error, workflowId);
  if (error instanceof WorkflowUpdateFailedError) {
    const causes = chain(error.cause);
    return new RequestRefused(causes.at(-1)?.message ?? error.message, { cause: error });
  }
  if (error instanceof QueryNotRegisteredError)
    return new OperationNotFound(`${workflowId} is not an operation of Holdfast. See: holdfast operations list`, { cause: error });
  if (error instanceof WorkflowNotFoundError)
    return new OperationNotFound(
      /already completed/i.test(error.message)
        ? `${workflowId} has ended already. See: holdfast operations show ${workflowId}`
        : `There is no operation ${workflowId}. See: holdfast operations list`,
      { cause: error },
    );
  const all = chain(error);
  const text = all.map((e) => e.message).join(': ');
  const code = all.find(isGrpcServiceError)?.code;
  if (/no poller seen|worker may be down|sticky worker unavailable/i.test(text)) return new NoWorker(noWorkerMessage, { cause: error });
  if (error instanceof NamespaceNotFoundError || (code === grpc.notFound && /namespace/i.test(text)))
    return new TemporalUnreachable(
      `Temporal at ${address} has no namespace "${namespace}". Make it, or set HOLDFAST_TEMPORAL_NAMESPACE. Check with: holdfast doctor`,
      { cause: error },
    );
  if (code === grpc.permissionDenied || code === grpc.unauthenticated)
    return new TemporalUnreachable(`Temporal at ${address} refuses us: ${all.find(isGrpcServiceError)?.details}`, { cause: error });
  if (code === grpc.unavailable || all.some((e) => /connect|ECONNREFUSED|ENOTFOUND/i.test(e.message)) || isGrpcDeadlineError(error))
    return new TemporalUnreachable(
      `Temporal at ${address} does not answer. Start it (npm run quickstart), or set HOLDFAST_TEMPORAL_ADDRESS. Check with: holdfast doctor`,
      { cause: error },
    );
  return error;
}

/** True for what a call to the server ends with, whatever the reason. */
export const isServiceError = (error: unknown): boolean => error instanceof ServiceError || chain(error).some(isGrpcServiceError);

export const noWorkerMessage = 'No worker takes the work. Start one: holdfast worker. Check with: holdfast doctor';

/** True for errors that only say that nobody answered in time: an update or query needs a live worker. */
export const nobodyAnswered = (error: unknown): boolean =>
  error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
  isGrpcDeadlineError(error) ||
  chain(error).some((e) => /no poller seen|worker may be down|timed? ?out/i.test(e.message));
