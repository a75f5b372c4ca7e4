import { S3ServiceException } from '@aws-sdk/client-s3';

/** The status with which an S3 server answered; undefined when it did not, or something else is wrong. */
export const statusOf = (error: unknown): number | undefined =>
  error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
