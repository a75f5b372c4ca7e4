import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { GetObjectCommand, type GetObjectCommandOutput, type S3Client, S3ServiceException } from '@aws-sdk/client-s3';
import { ApplicationFailure } from '@temporalio/common';
import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import { madeLeftovers } from '../support/leftovers.ts';
import { unlessAnswered } from './unreachable.ts';

export interface GetStreamOptions {
  /** Bytes to read, from `start` up to and without `end`. */
  readonly range?: { readonly start: number; readonly end?: number };
  /** Ends the reading; its reason is thrown. */
  readonly signal?: AbortSignal;
}

/** What is read, and by what. */
export interface DownloadSource {
  readonly client: S3Client;
  readonly endpoint: string;
  readonly Bucket: string;
  readonly Key: string;
  /** A connection on which nothing comes for so long, while somebody waits for it, is given up. */
  readonly stallMs: number;
}

/** Times that it is asked for again without a byte in between, and the pause before each: half a minute in all. */
const PAUSES_MS = [0, 1000, 2000, 4000, 8000, 16_000];

/**
 * An object's bytes, from where it was left when a connection breaks. Nothing is asked for before the first byte is, and the connection is closed
 * when the reader leaves. A slow reader is no stall.
 * @throws ObjectMissing
 */
export async function* getStream(source: DownloadSource, { range, signal }: GetStreamOptions = {}): AsyncGenerator<Uint8Array> {
  const { start: first = 0, end: wanted = Number.POSITIVE_INFINITY } = range ?? {};
  let [at, end, tries] = [first, wanted, 0];
  let version: string | undefined;
  while (at < end) {
    try {
      const answer = await ask(source, at, end, version, signal);
      version = answer.ETag;
      end = at + (answer.ContentLength ?? Number.NaN); // nothing is read twice when its length is not known
      for await (const chunk of watched(answer.Body as Readable, source.stallMs)) {
        at += chunk.length;
        tries = 0;
        yield chunk;
      }
      if (!(at < end)) return;
      throw new Error(`the connection was closed ${end - at} bytes before the end`);
    } catch (error) {
      signal?.throwIfAborted();
      if (at >= end) return; // broken after the last byte
      const pauseMs = PAUSES_MS[tries++];
      if (isFinal(error) || pauseMs === undefined || Number.isNaN(end)) throw unlessAnswered(source.endpoint, error);
      await pause(pauseMs, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted());
    }
  }
}

/** The store has said no; asking again cannot help. */
const isFinal = (error: unknown): boolean =>
  error instanceof S3ServiceException
    ? (error.$metadata.httpStatusCode ?? 500) < 500
    : error instanceof ApplicationFailure && error.nonRetryable === true;

async function ask(
  { client, Bucket, Key, stallMs }: DownloadSource,
  at: number,
  end: number,
  version: string | undefined,
  signal: AbortSignal | undefined,
): Promise<GetObjectCommandOutput> {
  const command = new GetObjectCommand({
    Bucket,
    Key,
    ...(at === 0 && end === Number.POSITIVE_INFINITY ? {} : { Range: `bytes=${at}-${end === Number.POSITIVE_INFINITY ? '' : end - 1}` }),
    ...(version === undefined ? {} : { IfMatch: version }), // the rest of another object would not fit
  });
  try {
    return await client.send(command, { requestTimeout: stallMs, ...(signal === undefined ? {} : { abortSignal: signal }) });
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404)
      throw fatal(failures.objectMissing, `the bucket ${Bucket} has no object ${Key}: was it removed?`);
    throw error;
  }
}

/** @throws Error when nothing comes for too long while it is waited for. Closes the connection when the reader leaves. */
export async function* watched(body: Readable, stallMs: number): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  const late = () => body.destroy(new Error(`no byte came for ${stallMs / 1000} s`));
  try {
    for (;;) {
      const timer = setTimeout(late, stallMs);
      const next = await chunks.next().finally(() => clearTimeout(timer));
      if (next.done === true) return;
      madeLeftovers(next.value.length);
      yield next.value;
    }
  } finally {
    body.destroy();
  }
}
