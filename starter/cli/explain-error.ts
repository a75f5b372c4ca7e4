import { ApplicationFailure } from '@temporalio/common';
import { type FailureType, failures } from '../../config/failures.ts';
import { InvalidSettings } from '../../config/settings.ts';
import {
  ClusterNotKept,
  type FailureKind,
  InvalidInput,
  NoWorker,
  OperationFailed,
  OperationNotFound,
  RequestRefused,
  TemporalUnreachable,
} from '../client/errors.ts';
import { type ExitCode, exitCodes } from './exit-codes.ts';

/** A person's mistake, or a plain end, that needs no stack: the message says what to do. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = exitCodes.usage) {
    super(message);
    this.exitCode = exitCode;
  }
}

const byFailure: Readonly<Partial<Record<FailureKind, ExitCode>>> = {
  [failures.invalidInput]: exitCodes.usage,
  [failures.clusterBusy]: exitCodes.busy,
  [failures.clusterNotFound]: exitCodes.notFound,
  [failures.backupNotFound]: exitCodes.notFound,
  [failures.refused]: exitCodes.refused,
  [failures.notRestorable]: exitCodes.refused,
  [failures.rejected]: exitCodes.refused,
  [failures.hostUnreachable]: exitCodes.unreachable,
  [failures.storeUnreachable]: exitCodes.unreachable,
} satisfies Partial<Record<FailureType, ExitCode>>;

/** What fails here and not in an operation: nothing was started, so a missing secret or a wrong key is a matter of settings. */
const byLocalFailure: Readonly<Record<string, ExitCode>> = {
  [failures.secretMissing]: exitCodes.usage,
  [failures.wrongMasterKey]: exitCodes.usage,
  [failures.storeUnreachable]: exitCodes.unreachable,
  [failures.hostUnreachable]: exitCodes.unreachable,
} satisfies Partial<Record<FailureType, ExitCode>>;

const known: readonly string[] = Object.values(failures);

const localExitCode = ({ type }: ApplicationFailure): ExitCode | undefined =>
  known.includes(type ?? '') ? (byLocalFailure[type ?? ''] ?? exitCodes.failed) : undefined;

/** The exit code that an error ends the process with. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CliError) return error.exitCode;
  if (error instanceof OperationFailed) return byFailure[error.type] ?? exitCodes.failed;
  if (error instanceof InvalidInput || error instanceof InvalidSettings) return exitCodes.usage;
  if (error instanceof RequestRefused) return exitCodes.refused;
  if (error instanceof OperationNotFound || error instanceof ClusterNotKept) return exitCodes.notFound;
  if (error instanceof TemporalUnreachable || error instanceof NoWorker) return exitCodes.unreachable;
  if (error instanceof ApplicationFailure) return localExitCode(error) ?? exitCodes.failed;
  return exitCodes.failed;
}

const ours = [
  CliError,
  OperationFailed,
  InvalidInput,
  InvalidSettings,
  RequestRefused,
  OperationNotFound,
  ClusterNotKept,
  TemporalUnreachable,
  NoWorker,
];

/** What to print for an error: one or two lines for what a person can act on. An error that nobody foresaw asks for --debug. */
export function explainError(error: unknown, debug: boolean): string {
  if (!(error instanceof Error)) return String(error);
  if (debug) return `${error.stack ?? error.message}${error.cause instanceof Error ? `\ncaused by ${error.cause.stack}` : ''}`;
  const local = error instanceof ApplicationFailure && localExitCode(error) !== undefined;
  const foreseen = local || ours.some((type) => error instanceof type);
  const named = local || error instanceof OperationFailed;
  const kind = named && error.type !== 'Unknown' ? `${error.type}: ` : '';
  const stack = foreseen ? '' : '\nThat was not foreseen: --debug shows where it happened.';
  // The innermost message says what is wrong; what wraps it often only says which call it was.
  const cause = stack !== '' && error.cause instanceof Error ? `: ${error.cause.message}` : '';
  return `${kind}${error.message}${cause}${stack}`;
}
