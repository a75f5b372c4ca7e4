import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createObjectStore, type StreamStore } from '../../activities/storage/object-store.ts';
import { sideBySide } from '../../activities/support/side-by-side.ts';
import { startFaultyStore } from '../support/faulty-store.ts';
import { type ObjectServer, startObjectServer } from '../support/object-server.ts';
import { until } from '../support/processes.ts';

const MiB = 1024 ** 2;
const PART = { partBytes: 5 * MiB };

let server: ObjectServer;
let store: StreamStore;
beforeAll(async () => {
  server = await startObjectServer();
  store = createObjectStore(server.settings, { callMs: 5000, stallMs: 500 });
  await store.ensureBucket();
}, 60_000);
afterAll(async () => {
  store?.close();
  await server?.stop();
});

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
async function* inChunks(bytes: Uint8Array, chunkBytes = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}
async function read(key: string, range?: { readonly start: number; readonly end?: number }): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.getStream(key, range === undefined ? {} : { range })) chunks.push(chunk);
  return Buffer.concat(chunks);
}
/** Parts that the server holds for uploads which are not complete. */
const partsOnDisk = () =>
  globSync(join(server.folder, 's3', '**', '.sgwtmp', 'multipart', '**', '*')).filter((path) => /\/\d+$/.test(path));
const nothingLeftOf = async (key: string) => {
  expect(await store.listUploads(key)).toEqual([]);
  expect(await store.head(key)).toBeUndefined();
  expect(partsOnDisk()).toEqual([]);
};

describe('a stream that is uploaded', () => {
  test.each([0, 1, 5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 17 * MiB + 4711])('of %i bytes is read back as it was', async (size) => {
    const bytes = randomBytes(size);
    expect(await store.putStream(`sizes/${size}`, inChunks(bytes, 1_000_003), PART)).toBe(size);
    expect((await store.head(`sizes/${size}`))?.bytes).toBe(size);
    expect(sha256(await read(`sizes/${size}`))).toBe(sha256(bytes));
    expect(await store.listUploads('sizes/')).toEqual([]);
  });

  test('that is cancelled while its source is silent ends at once and leaves nothing', async () => {
    const cancel = new AbortController();
    let left = false;
    async function* source() {
      try {
        yield* inChunks(randomBytes(12 * MiB));
        await new Promise((resolve) => cancel.signal.addEventListener('abort', resolve));
      } finally {
        left = true;
      }
    }
    const putting = store.putStream('cancelled/a', source(), { ...PART, signal: cancel.signal });
    await until('two parts are there', async () => (partsOnDisk().length === 2 ? true : undefined));
    expect(await store.listUploads('cancelled/')).toMatchObject([{ key: 'cancelled/a' }]);
    cancel.abort(new Error('a person changed their mind'));
    await expect(putting).rejects.toThrow('a person changed their mind');
    await nothingLeftOf('cancelled/a');
    await until('the source was left', async () => left);
  });

  test('that is cancelled while parts are on their way leaves nothing', async () => {
    const cancel = new AbortController();
    server.line.pause();
    const putting = store.putStream('cancelled/b', inChunks(randomBytes(30 * MiB)), { ...PART, signal: cancel.signal });
    await until('it waits for the line', async () => server.line.open > 0);
    server.line.resume();
    await until('a part is there', async () => partsOnDisk().length > 0);
    server.line.pause();
    cancel.abort(new Error('cancelled'));
    setTimeout(() => server.line.resume(), 200);
    await expect(putting).rejects.toThrow('cancelled');
    await nothingLeftOf('cancelled/b');
  });

  test('that was cancelled before asks for nothing', async () => {
    await expect(
      store.putStream('cancelled/c', inChunks(randomBytes(10)), { signal: AbortSignal.abort(new Error('before')) }),
    ).rejects.toThrow('before');
    await nothingLeftOf('cancelled/c');
  });

  test('whose source fails throws what the source threw, and leaves nothing', async () => {
    for (const size of [100, 12 * MiB]) {
      async function* source() {
        yield* inChunks(randomBytes(size));
        throw new Error('the replica went away');
      }
      await expect(store.putStream('failed/a', source(), PART)).rejects.toThrow('the replica went away');
      await nothingLeftOf('failed/a');
    }
  });

  test('reads no more of its source once a part has failed', async () => {
    let given = 0;
    async function* source() {
      for (; given < 100; given++) yield randomBytes(MiB);
    }
    const gone = createObjectStore({ ...server.settings, HOLDFAST_S3_BUCKET: 'no-such-bucket' });
    await expect(gone.putStream('failed/b', source(), { ...PART, queue: 2 })).rejects.toMatchObject({ name: 'NoSuchBucket' });
    expect(given).toBeLessThan(20);
    gone.close();
  });

  test('goes on when the line breaks, or nothing moves on it for a while', async () => {
    const bytes = randomBytes(22 * MiB);
    let chunks = 0;
    async function* source() {
      for await (const chunk of inChunks(bytes, MiB)) {
        chunks += 1;
        if (chunks === 8) server.line.cut();
        if (chunks === 14) {
          server.line.pause();
          setTimeout(() => {
            server.line.cut(); // what hangs, hangs for ever; the next try finds a line again
            server.line.resume();
          }, 1500);
        }
        yield chunk;
      }
    }
    await store.putStream('disturbed', source(), PART);
    expect(sha256(await read('disturbed'))).toBe(sha256(bytes));
  });

  test('is complete when the answer that said so was lost', async () => {
    const bytes = randomBytes(6 * MiB);
    server.line.loseAnswerTo('POST /holdfast/answer-lost?uploadId=');
    await store.putStream('answer-lost', inChunks(bytes), PART);
    expect(sha256(await read('answer-lost'))).toBe(sha256(bytes));
  });

  test('that a killed worker left behind is listed, and can be given up, twice', async () => {
    const cancel = new AbortController();
    async function* source() {
      yield* inChunks(randomBytes(6 * MiB));
      await new Promise((resolve) => cancel.signal.addEventListener('abort', resolve));
    }
    const other = createObjectStore(server.settings);
    const putting = other.putStream('orphan/a', source(), { ...PART, signal: cancel.signal });
    const refused = expect(putting).rejects.toThrow();
    await until('a part is there', async () => partsOnDisk().length > 0);
    const [upload] = await store.listUploads('orphan/');
    expect(upload).toMatchObject({ key: 'orphan/a', begunAt: expect.any(Date) });
    if (upload !== undefined) for (const _ of [1, 2]) await store.abortUpload(upload);
    await nothingLeftOf('orphan/a');
    cancel.abort();
    await refused;
    other.close();
  });
});

describe('a stream that is read', () => {
  const bytes = randomBytes(20 * MiB);
  beforeAll(() => store.putStream('read/a', inChunks(bytes), PART));

  test.each([
    [0, 10],
    [5 * MiB - 3, 5 * MiB + 3],
    [19 * MiB, undefined],
    [7, 7],
  ])('gives the bytes from %s to %s alone', async (start, end) => {
    const part = await read('read/a', end === undefined ? { start } : { start, end });
    expect(part.equals(bytes.subarray(start, end))).toBe(true);
  });

  test('closes its connection when the reader leaves, and asks for no more than was on its way', async () => {
    const { open, delivered } = server.line;
    for await (const chunk of store.getStream('read/a')) {
      expect(chunk.length).toBeGreaterThan(0);
      expect(server.line.open).toBeGreaterThanOrEqual(open);
      break;
    }
    await until('a connection less', async () => server.line.open < Math.max(open, 1));
    expect(server.line.delivered - delivered).toBeLessThan(15 * MiB);
  });

  test('ends with the reason of its signal, and closes its connection', async () => {
    const cancel = new AbortController();
    const { open } = server.line;
    const reading = (async () => {
      for await (const _ of store.getStream('read/a', { signal: cancel.signal })) cancel.abort(new Error('enough'));
    })();
    await expect(reading).rejects.toThrow('enough');
    await until('a connection less', async () => server.line.open < Math.max(open, 1));
  });

  test('goes on where it was when the line breaks or nothing comes, and waits for a slow reader', async () => {
    const hash = createHash('sha256');
    let seen = 0;
    const disturbances = [
      () => server.line.cut(),
      () => {
        server.line.pause();
        setTimeout(() => server.line.resume(), 1200); // longer than stallMs
      },
      () => new Promise((resolve) => setTimeout(resolve, 1200)), // a reader that is slow, which is no stall
      () => server.line.cut(),
    ];
    for await (const chunk of store.getStream('read/a')) {
      hash.update(chunk);
      seen += chunk.length;
      if (seen > (5 - disturbances.length) * 3 * MiB) await disturbances.shift()?.();
    }
    expect(disturbances).toEqual([]);
    expect(hash.digest('hex')).toBe(sha256(bytes));
  });

  test('says which object is missing', async () => {
    await expect(read('read/nothing')).rejects.toMatchObject({ type: 'ObjectMissing', nonRetryable: true });
    await expect(read('read/nothing')).rejects.toThrow('no object read/nothing');
  });

  test('is not put together from two objects of the same name', async () => {
    await store.putStream('read/b', inChunks(randomBytes(20 * MiB)), PART);
    const reading = (async () => {
      let seen = 0;
      for await (const chunk of store.getStream('read/b')) {
        if (seen === 0) await store.putStream('read/b', inChunks(randomBytes(20 * MiB)), PART);
        if (seen === 0) server.line.cut();
        seen += chunk.length;
      }
    })();
    await expect(reading).rejects.toMatchObject({ $metadata: { httpStatusCode: 412 } });
  });
});

test('a call that gets no answer is given up, and told as that', async () => {
  const hasty = createObjectStore(server.settings, { callMs: 300 });
  server.line.pause();
  await expect(hasty.get('anything')).rejects.toMatchObject({ type: 'StoreUnreachable' });
  server.line.resume();
  expect(await hasty.get('anything')).toBeUndefined();
  hasty.close();
});

test('a listing tells which object it was, as reading it does, and another one of the same key is another', async () => {
  await store.put('tags/a', 'one');
  const [first] = await store.listObjects('tags/');
  const { etag, bytes } = (await store.read('tags/a')) ?? { etag: '', bytes: Buffer.alloc(0) };
  expect([first?.etag, String(bytes)]).toEqual([etag, 'one']);
  await store.put('tags/a', 'two');
  expect((await store.listObjects('tags/'))[0]?.etag).not.toBe(etag);
  expect(await store.read('tags/b')).toBeUndefined();
});

describe('many objects are removed', () => {
  const filled = async (count: number) => {
    const keys = Array.from({ length: count }, (_, at) => `many/${String(at).padStart(4, '0')}`);
    await sideBySide(keys, 16, (key) => store.put(key, 'x'));
    return keys;
  };

  test('with one call for a thousand, and those that are not there are no error', async () => {
    const keys = await filled(30);
    const faulty = await startFaultyStore(server.settings.HOLDFAST_S3_ENDPOINT);
    const through = createObjectStore({ ...server.settings, HOLDFAST_S3_ENDPOINT: faulty.endpoint });
    try {
      const methods: string[] = [];
      faulty.spoil((method) => void methods.push(method));
      const missing = Array.from({ length: 1000 }, (_, at) => `many/never/${at}`);
      await through.removeAll([...missing, ...keys.slice(1)]);
      expect(methods).toEqual(['POST', 'POST']);
      expect(await store.list('many/')).toEqual(keys.slice(0, 1));
      await through.removeAll([]);
    } finally {
      through.close();
      faulty.close();
    }
  });

  test('one by one where the server knows no such call', async () => {
    const keys = await filled(3);
    const faulty = await startFaultyStore(server.settings.HOLDFAST_S3_ENDPOINT);
    const through = createObjectStore({ ...server.settings, HOLDFAST_S3_ENDPOINT: faulty.endpoint });
    try {
      faulty.spoil((method) => (method === 'POST' ? { status: 501 } : undefined));
      await through.removeAll([...keys, 'many/never']);
      expect(faulty.spoilt).toBeGreaterThan(0);
      expect(await store.list('many/')).toEqual([]);
      faulty.spoil(() => ({ status: 403 }));
      await expect(through.removeAll(keys)).rejects.toThrow();
    } finally {
      through.close();
      faulty.close();
    }
  });
});

test('200 MB go up and down in the memory of a few parts', async () => {
  const measure = async (how: string) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['test/support/upload-memory.ts', how, String(200e6)], {
      env: { ...process.env, ...server.env },
    });
    const { read: bytes, grownBytes } = JSON.parse(stdout) as { read: number; grownBytes: number };
    expect(bytes).toBeGreaterThanOrEqual(200e6);
    return grownBytes / MiB;
  };
  const [stream, whole] = [await measure('stream'), await measure('whole')];
  expect(stream).toBeLessThan(128); // three parts of 8 MiB, frames, and what waits for the garbage collector
  expect(whole).toBeGreaterThan(200e6 / MiB); // it would be seen
}, 120_000);
