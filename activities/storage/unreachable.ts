import { S3ServiceException } from '@aws-sdk/client-s3';
import { ApplicationFailure } from '@temporalio/common';
import { failures } from '../../config/failures.ts';
import { messageOf, passing } from '../support/failure.ts';

/** What an S3 server answers is passed on as it is; that it does not answer is told with where it should be. */
export const unlessAnswered = (endpoint: string, error: unknown): unknown =>
  error instanceof S3ServiceException || error instanceof ApplicationFailure
    ? error
    : passing(
        failures.storeUnreachable,
        `the object store at ${endpoint} does not answer (${messageOf(error)}): is it running? holdfast doctor`,
        error,
      );
