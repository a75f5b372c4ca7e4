import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import type { Settings } from '../../config/settings.ts';
import { sideBySide } from '../support/side-by-side.ts';
import { type GetStreamOptions, getStream, watched } from './get-stream.ts';
import { type PutStreamOptions, putStream } from './put-stream.ts';
import { statusOf } from './status-of.ts';
import { unlessAnswered } from './unreachable.ts';

/** What the bucket knows of an object without reading it. */
export interface ObjectFacts {
  readonly bytes: number;
  readonly modifiedAt: Date;
}

export interface StoredObject extends ObjectFacts {
  readonly key: string;
  /** Another one when the object was replaced by a different one; empty where the store tells none. */
  readonly etag: string;
}

/** A small object, and which one it was. */
export interface ReadObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

/** The bucket, as far as Holdfast uses it for small objects. */
export interface ObjectStore {
  /** Makes the bucket when it is missing. */
  ensureBucket(): Promise<void>;
  /** The object's bytes, or undefined when there is none. */
  get(key: string): Promise<Uint8Array | undefined>;
  /** The same, with what a listing would tell of just these bytes. */
  read(key: string): Promise<ReadObject | undefined>;
  put(key: string, body: Uint8Array | string): Promise<void>;
  /** Puts an object that is not there yet; false when there is one. Not atomic on every server: fence what must be by other means too. */
  putNew(key: string, body: Uint8Array | string): Promise<boolean>;
  /** Deleting what is not there is no error. */
  remove(key: string): Promise<void>;
  /** All of them, a thousand with each call, in their order. Deleting what is not there is no error. */
  removeAll(keys: readonly string[]): Promise<void>;
  /** Keys with the prefix, all pages. */
  list(prefix: string): Promise<readonly string[]>;
  /** The same, with what a listing tells of each. */
  listObjects(prefix: string): Promise<readonly StoredObject[]>;
  close(): void;
}

/** A multipart upload that was begun and neither completed nor given up. Its parts are paid for, and in no listing of objects. */
export interface PendingUpload {
  readonly key: string;
  readonly uploadId: string;
  readonly begunAt: Date;
}

/** The bucket, as far as Holdfast uses it for what does not fit into memory. */
export interface StreamStore extends ObjectStore {
  /**
   * Uploads a stream of any length; memory: `partBytes` times `queue`. What fits into one part is put at once, the rest is there when it is complete. An
   * upload that fails or is cancelled is given up, with its parts. @returns the bytes of the object.
   */
  putStream(key: string, source: AsyncIterable<Uint8Array>, options?: PutStreamOptions): Promise<number>;
  /** An object's bytes; goes on where it was when a connection breaks. Nothing is asked for before the first byte is. @throws ObjectMissing */
  getStream(key: string, options?: GetStreamOptions): AsyncIterable<Uint8Array>;
  /** Undefined when there is no such object. */
  head(key: string): Promise<ObjectFacts | undefined>;
  /** Uploads that a worker began and did not live to end, and those that are under way. */
  listUploads(prefix: string): Promise<readonly PendingUpload[]>;
  /** Giving up what is over is no error. */
  abortUpload(upload: Pick<PendingUpload, 'key' | 'uploadId'>): Promise<void>;
}

export interface StoreLimits {
  /** How long a small call may take until its answer begins. @default 10 s */
  readonly callMs?: number;
  /** A stream on which no byte moves for so long is given up, and tried again. @default 30 s */
  readonly stallMs?: number;
}

interface Timeouts {
  readonly connectionTimeout: number;
  readonly requestTimeout?: number;
  readonly throwOnRequestTimeout?: boolean;
  readonly socketTimeout?: number;
}

/** S3's own limit. */
const MOST_REMOVED = 1000;
/** How servers answer that know no call for many objects, or want another checksum of it: then each is removed by itself, so many at once. */
const NOT_KNOWN: ReadonlySet<number> = new Set([400, 405, 501]);
const ALONE_AT_ONCE = 16;

/** An S3 bucket. Every call has a timeout and the SDK's own few retries; what lasts longer is retried by Temporal. */
export function createObjectStore(settings: Settings, { callMs = 10_000, stallMs = 30_000 }: StoreLimits = {}): StreamStore {
  const { HOLDFAST_S3_BUCKET: Bucket, HOLDFAST_S3_ENDPOINT: endpoint } = settings;
  const client = createClient(settings, { connectionTimeout: 3000, requestTimeout: callMs, throwOnRequestTimeout: true });
  // How long a part takes depends on the line; that it does not move at all is seen on the socket.
  // A part that is given up takes the whole object with it, so it is tried for longer.
  const parts = createClient(settings, { connectionTimeout: 3000, socketTimeout: stallMs }, 8);

  async function listObjects(prefix: string): Promise<readonly StoredObject[]> {
    const objects: StoredObject[] = [];
    let ContinuationToken: string | undefined;
    do {
      const page: ListObjectsV2CommandOutput = await client.send(
        new ListObjectsV2Command({ Bucket, Prefix: prefix, ...(ContinuationToken === undefined ? {} : { ContinuationToken }) }),
      );
      for (const { Key, Size: bytes = 0, LastModified: modifiedAt = new Date(), ETag: etag = '' } of page.Contents ?? [])
        if (Key !== undefined) objects.push({ key: Key, bytes, modifiedAt, etag });
      ContinuationToken = page.NextContinuationToken;
    } while (ContinuationToken !== undefined);
    return objects;
  }

  async function read(key: string): Promise<ReadObject | undefined> {
    try {
      const { Body, ETag: etag = '' } = await client.send(new GetObjectCommand({ Bucket, Key: key }));
      return { bytes: await buffer(watched(Body as Readable, stallMs)), etag };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw unlessAnswered(endpoint, error); // the body may stall or break too
    }
  }

  async function remove(key: string): Promise<void> {
    await client.send(new DeleteObjectCommand({ Bucket, Key: key })).catch((error: unknown) => {
      if (statusOf(error) !== 404) throw error;
    });
  }

  async function removeSome(keys: readonly string[]): Promise<void> {
    const Delete = { Objects: keys.map((Key) => ({ Key })), Quiet: true };
    const answer = await client.send(new DeleteObjectsCommand({ Bucket, Delete })).catch((error: unknown) => {
      if (NOT_KNOWN.has(statusOf(error) ?? 0)) return undefined;
      throw error;
    });
    // What failed in it says why when it is removed by itself.
    const left = answer === undefined ? keys : (answer.Errors ?? []).flatMap(({ Key, Code }) => (Code === 'NoSuchKey' ? [] : (Key ?? [])));
    await sideBySide(left, ALONE_AT_ONCE, remove);
  }

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
    get: async (key) => (await read(key))?.bytes,
    read,
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
    remove,
    async removeAll(keys) {
      for (let at = 0; at < keys.length; at += MOST_REMOVED) await removeSome(keys.slice(at, at + MOST_REMOVED));
    },
    list: async (prefix) => (await listObjects(prefix)).map(({ key }) => key),
    listObjects,
    putStream: (Key, source, options) => putStream({ parts, calls: client, Bucket, Key }, source, options),
    getStream: (Key, options) => getStream({ client, endpoint, Bucket, Key, stallMs }, options),
    async head(key) {
      try {
        const { ContentLength: bytes = 0, LastModified: modifiedAt = new Date(0) } = await client.send(
          new HeadObjectCommand({ Bucket, Key: key }),
        );
        return { bytes, modifiedAt };
      } catch (error) {
        if (statusOf(error) === 404) return undefined;
        throw error;
      }
    },
    async listUploads(prefix) {
      const uploads: PendingUpload[] = [];
      let from: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } | undefined = {};
      while (from !== undefined) {
        const page: ListMultipartUploadsCommandOutput = await client.send(
          new ListMultipartUploadsCommand({ Bucket, Prefix: prefix, ...from }),
        );
        for (const { Key, UploadId, Initiated } of page.Uploads ?? [])
          if (Key !== undefined && UploadId !== undefined)
            uploads.push({ key: Key, uploadId: UploadId, begunAt: Initiated ?? new Date(0) });
        from =
          page.IsTruncated === true && page.NextKeyMarker !== undefined
            ? {
                KeyMarker: page.NextKeyMarker,
                ...(page.NextUploadIdMarker === undefined ? {} : { UploadIdMarker: page.NextUploadIdMarker }),
              }
            : undefined;
      }
      return uploads;
    },
    async abortUpload({ key, uploadId }) {
      await client.send(new AbortMultipartUploadCommand({ Bucket, Key: key, UploadId: uploadId })).catch((error: unknown) => {
        if (statusOf(error) !== 404) throw error;
      });
    },
    close() {
      client.destroy();
      parts.destroy();
    },
  };
}

function createClient(settings: Settings, requestHandler: Timeouts, maxAttempts = 3): S3Client {
  const {
    HOLDFAST_S3_ENDPOINT: endpoint,
    HOLDFAST_S3_ACCESS_KEY_ID: accessKeyId,
    HOLDFAST_S3_SECRET_ACCESS_KEY: secretAccessKey,
  } = settings;
  const client = new S3Client({
    endpoint,
    region: settings.HOLDFAST_S3_REGION,
    forcePathStyle: settings.HOLDFAST_S3_PATH_STYLE,
    // Some S3-compatible servers do not know the checksums that the SDK adds unasked.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false, // costs a connection for each part, and seconds where a server does not know it
    requestHandler,
    maxAttempts,
    ...(accessKeyId !== undefined && secretAccessKey !== undefined ? { credentials: { accessKeyId, secretAccessKey } } : {}),
  });
  client.middlewareStack.add(
    (next) => async (args) => {
      try {
        return await next(args);
      } catch (error) {
        throw unlessAnswered(endpoint, error);
      }
    },
    { step: 'initialize', priority: 'high', name: 'reached' },
  );
  return client;
}
