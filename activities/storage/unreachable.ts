import { S3ServiceException } from '@aws-sdk/client-s3';
import { ApplicationFailure } from '@temporalio/common';
import { failures } from '../../config/failures.ts';
import { messageOf, passing } from '../support/failure.ts';
import { statusOf } from './status-of.ts';

/** What the SDK says when an answer has a status and no word. */
const NO_WORD = 'UnknownError';

/** What an S3 server answers is passed on as it is; that it does not answer, or only with a number, is told with where it should be. */
export function unlessAnswered(endpoint: string, error: unknown): unknown {
  if (error instanceof ApplicationFailure) return error;
  if (!(error instanceof S3ServiceException))
    return passing(
      failures.storeUnreachable,
      `the object store at ${endpoint} does not answer (${messageOf(error)}): is it running? holdfast doctor`,
      error,
    );
  const status = error.$metadata.httpStatusCode ?? 0;
  if (error.message === NO_WORD) error.message = `the object store at ${endpoint} answered ${status} and no word${hintOf(status)}`;
  return error;
}

/** How a connection fails to a server that is not there yet, or not any more. */
const NOT_THERE = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN']);
/** Request Timeout and Too Many Requests. */
const LATER = new Set([408, 429]);

/** Whether a store that could not be asked may answer by itself in a while. @param error of a call to it */
export function isNotReady(error: unknown): boolean {
  const status = statusOf(error);
  if (status !== undefined) return status >= 500 || LATER.has(status);
  const cause =
    error instanceof ApplicationFailure ? (error.cause as { readonly code?: string; readonly name?: string } | undefined) : undefined;
  return NOT_THERE.has(cause?.code ?? '') || cause?.name === 'TimeoutError';
}

function hintOf(status: number): string {
  if (status === 401 || status === 403) return ': are its keys right, and may they do that? holdfast doctor';
  return status >= 500 ? ': is it starting, or overloaded? holdfast doctor' : '';
}
