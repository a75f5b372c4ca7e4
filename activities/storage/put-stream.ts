import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListPartsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import { statusOf } from './status-of.ts';

export interface PutStreamOptions {
  /** Bytes of a part: an object has 10,000 of them at most. @default 32 MiB, which is room for 312 GiB */
  readonly partBytes?: number;
  /** Parts held in memory: one fills while the others are on their way. @default 3 */
  readonly queue?: number;
  /**
   * Every byte is read again, and compared, before it counts: then bodies are not digested for the request's signature, which costs as much as sealing them, on both sides. What is changed on the way is found by that reading.
   * @default false
   */
  readonly readBack?: boolean;
  /** Ends the upload and leaves nothing behind; its reason is thrown. The source must listen to the same signal: it is not waited for. */
  readonly signal?: AbortSignal;
}

/** Where a stream goes, and by what. */
export interface UploadTarget {
  /** For parts: gives a connection up on which no byte moves. */
  readonly parts: S3Client;
  /** For the rest. */
  readonly calls: S3Client;
  readonly Bucket: string;
  readonly Key: string;
}

const DEFAULT_PART_BYTES = 32 * 1024 ** 2;
/** S3's own limits. */
const MIN_PART_BYTES = 5 * 1024 ** 2;
const MAX_PARTS = 10_000;
/** Some servers put the parts together by copying them, before they answer. */
const COMPLETE_MS = 30 * 60_000;
/** A part that was cut off may arrive at the server all the same, in the moment in which the upload is given up, and stay: S3 says to look, and to give it up again. */
const ABORTS_AFTER_MS = [0, 100, 300, 900];
/** Metadata that tells the object of one upload from that of another one. */
const UPLOAD_MARK = 'holdfast-upload';

/**
 * Uploads a stream whose length nobody knows yet. The SDK's own `Upload` is not used: when it is cancelled while the source is silent, or a part fails,
 * it reads the source to its end before it gives the upload up.
 * @returns the bytes of the object.
 */
export async function putStream(
  target: UploadTarget,
  source: AsyncIterable<Uint8Array>,
  { partBytes = DEFAULT_PART_BYTES, queue = 3, readBack = false, signal }: PutStreamOptions = {},
): Promise<number> {
  if (partBytes < MIN_PART_BYTES || queue < 2) throw new RangeError(`parts have at least ${MIN_PART_BYTES} bytes, and two are held`);
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const iterator = source[Symbol.asyncIterator]();
  const free: Buffer<ArrayBuffer>[] = [];
  let buffers = 0;
  const underway = new Set<Promise<void>>();
  const upload = createUpload(target, { stop, readBack });
  let rest: Uint8Array = new Uint8Array(0);
  let bytes = 0;

  /** @returns bytes in the buffer: fewer than it holds at the end only. */
  async function fill(buffer: Buffer<ArrayBuffer>): Promise<number> {
    let filled = 0;
    while (filled < buffer.length) {
      if (rest.length === 0) {
        const next = await unlessStopped(() => iterator.next(), stop);
        if (next.done === true) break;
        rest = next.value;
      }
      const part = rest.subarray(0, buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
    }
    return filled;
  }

  function send(buffer: Buffer<ArrayBuffer>, filled: number, number: number): void {
    const sending: Promise<void> = upload
      .part(number, buffer.subarray(0, filled))
      .then(
        () => void free.push(buffer),
        (error: unknown) => failed.abort(error),
      )
      .finally(() => underway.delete(sending));
    underway.add(sending);
  }

  try {
    for (let number = 1; ; number++) {
      while (free.length === 0 && buffers === queue) {
        await Promise.race(underway);
        stop.throwIfAborted();
      }
      if (free.length === 0) buffers++;
      const buffer = free.pop() ?? Buffer.allocUnsafeSlow(partBytes); // takes memory where it is written to
      const filled = await fill(buffer);
      bytes += filled;
      if (filled < partBytes && number === 1) {
        await upload.whole(buffer.subarray(0, filled));
        return bytes;
      }
      if (number > MAX_PARTS && filled > 0)
        throw fatal(failures.refused, `${target.Key} has more than ${MAX_PARTS} parts of ${partBytes} bytes: use larger ones`);
      if (filled > 0) send(buffer, filled, number);
      if (filled < partBytes) break;
    }
    await Promise.all(underway);
    stop.throwIfAborted();
    await upload.complete();
    return bytes;
  } catch (error) {
    failed.abort(error);
    await Promise.all(underway); // a part that arrives later would stay
    void iterator.return?.().catch(() => undefined); // its own failure came first, or does not matter any more
    await upload.abort();
    throw stop.reason;
  }
}

interface Upload {
  whole(body: Buffer): Promise<void>;
  part(number: number, body: Buffer): Promise<void>;
  complete(): Promise<void>;
  abort(): Promise<void>;
}

interface UploadOptions {
  readonly stop: AbortSignal;
  readonly readBack: boolean;
}

function createUpload({ parts, calls, Bucket, Key }: UploadTarget, { stop, readBack }: UploadOptions): Upload {
  const mark = randomUUID();
  const completed: CompletedPart[] = [];
  let begun: Promise<string> | undefined;

  const begin = async (): Promise<string> => {
    const { UploadId } = await calls.send(new CreateMultipartUploadCommand({ Bucket, Key, Metadata: { [UPLOAD_MARK]: mark } }));
    if (UploadId === undefined) throw new Error(`the object store began an upload of ${Key} and did not say which`);
    return UploadId;
  };
  /** The answer to an earlier try may have been lost: then the upload is gone, and its object is there. */
  const isThere = async (): Promise<boolean> => (await calls.send(new HeadObjectCommand({ Bucket, Key }))).Metadata?.[UPLOAD_MARK] === mark;

  const isGone = (UploadId: string): Promise<boolean> =>
    calls.send(new ListPartsCommand({ Bucket, Key, UploadId, MaxParts: 1 })).then(
      () => false,
      (error: unknown) => statusOf(error) === 404,
    );

  return {
    async whole(body) {
      await parts.send(new PutObjectCommand({ Bucket, Key, Body: body }), { abortSignal: stop });
    },
    async part(PartNumber, body) {
      begun ??= begin(); // not to be stopped half way: nobody would know what to give up
      const UploadId = await begun;
      const command = new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body: body });
      if (readBack) leaveUndigested(command);
      const { ETag } = await parts.send(command, { abortSignal: stop });
      completed.push({ PartNumber, ...(ETag === undefined ? {} : { ETag }) });
    },
    async complete() {
      const Parts = completed.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
      const command = new CompleteMultipartUploadCommand({ Bucket, Key, UploadId: await begun, MultipartUpload: { Parts } });
      await calls.send(command, { abortSignal: stop, requestTimeout: COMPLETE_MS }).catch(async (error: unknown) => {
        if (statusOf(error) !== 404 || !(await isThere())) throw error;
      });
    },
    async abort() {
      const UploadId = await begun?.catch(() => undefined);
      if (UploadId === undefined) return;
      // What is left behind when all of this fails is in `listUploads`.
      for (const ms of ABORTS_AFTER_MS) {
        await sleep(ms);
        await calls.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId })).catch(() => undefined);
        if (await isGone(UploadId)) return;
      }
    },
  };
}

/** What the signature says of the body is that nobody has looked at it. */
function leaveUndigested(command: UploadPartCommand): void {
  command.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { readonly headers: Record<string, string> };
      headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD';
      return next(args);
    },
    { step: 'build', name: 'leaveUndigested' },
  );
}

/** What `work` comes to, unless the signal comes first: then its reason. Leaves no listener behind, however often it is used. */
async function unlessStopped<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let stopped = (): void => undefined;
  const stopping = new Promise<never>((_, reject) => {
    stopped = () => reject(signal.reason);
    signal.addEventListener('abort', stopped, { once: true });
  });
  try {
    return await Promise.race([work(), stopping]);
  } finally {
    signal.removeEventListener('abort', stopped);
  }
}
