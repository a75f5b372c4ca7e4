import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { failures } from '../../config/failures.ts';
import type { Settings } from '../../config/settings.ts';
import { messageOf, passing } from '../support/failure.ts';

/** The bucket, as far as Holdfast uses it for small objects. */
export interface ObjectStore {
  /** Makes the bucket when it is missing. */
  ensureBucket(): Promise<void>;
  /** The object's bytes, or undefined when there is none. */
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, body: Uint8Array | string): Promise<void>;
  /** Puts an object that is not there yet; false when there is one. Not atomic on every server: fence what must be by other means too. */
  putNew(key: string, body: Uint8Array | string): Promise<boolean>;
  /** Deleting what is not there is no error. */
  remove(key: string): Promise<void>;
  /** Keys with the prefix, all pages. */
  list(prefix: string): Promise<readonly string[]>;
  close(): void;
}

/** What an S3 server answers is passed on as it is; that it does not answer is told with where it should be. */
async function reached<T>(endpoint: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof S3ServiceException) throw error;
    throw passing(
      failures.storeUnreachable,
      `the object store at ${endpoint} does not answer (${messageOf(error)}): is it running? holdfast doctor`,
      error,
    );
  }
}

const statusOf = (error: unknown): number | undefined => (error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined);

/** An S3 bucket. Every call has a timeout and the SDK's own few retries; what lasts longer is retried by Temporal. */
export function createObjectStore(settings: Settings): ObjectStore {
  const { HOLDFAST_S3_ACCESS_KEY_ID: accessKeyId, HOLDFAST_S3_SECRET_ACCESS_KEY: secretAccessKey, HOLDFAST_S3_BUCKET: Bucket } = settings;
  const client = new S3Client({
    endpoint: settings.HOLDFAST_S3_ENDPOINT,
    region: settings.HOLDFAST_S3_REGION,
    forcePathStyle: settings.HOLDFAST_S3_PATH_STYLE,
    // Some S3-compatible servers do not know the checksums that the SDK adds unasked.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: 3000, requestTimeout: 10_000 },
    maxAttempts: 3,
    ...(accessKeyId !== undefined && secretAccessKey !== undefined ? { credentials: { accessKeyId, secretAccessKey } } : {}),
  });

  client.middlewareStack.add((next) => (args) => reached(settings.HOLDFAST_S3_ENDPOINT, () => next(args)), {
    step: 'initialize',
    priority: 'high',
    name: 'reached',
  });

  return {
    async ensureBucket() {
      try {
        await client.send(new HeadBucketCommand({ Bucket }));
      } catch (error) {
        if (statusOf(error) !== 404) throw error;
        await client.send(new CreateBucketCommand({ Bucket })).catch((failure: unknown) => {
          if (statusOf(failure) !== 409) throw failure; // another worker made it in between
        });
      }
    },
    async get(key) {
      try {
        const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: key }));
        return await Body?.transformToByteArray();
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw error;
      }
    },
    async put(key, body) {
      await client.send(new PutObjectCommand({ Bucket, Key: key, Body: body }));
    },
    async putNew(key, body) {
      try {
        await client.send(new PutObjectCommand({ Bucket, Key: key, Body: body, IfNoneMatch: '*' }));
        return true;
      } catch (error) {
        if (statusOf(error) === 412 || statusOf(error) === 409) return false;
        throw error;
      }
    },
    async remove(key) {
      await client.send(new DeleteObjectCommand({ Bucket, Key: key })).catch((error: unknown) => {
        if (statusOf(error) !== 404) throw error;
      });
    },
    async list(prefix) {
      const keys: string[] = [];
      let ContinuationToken: string | undefined;
      do {
        const page = await client.send(
          new ListObjectsV2Command({ Bucket, Prefix: prefix, ...(ContinuationToken === undefined ? {} : { ContinuationToken }) }),
        );
        for (const { Key } of page.Contents ?? []) if (Key !== undefined) keys.push(Key);
        ContinuationToken = page.NextContinuationToken;
      } while (ContinuationToken !== undefined);
      return keys;
    },
    close: () => client.destroy(),
  };
}
