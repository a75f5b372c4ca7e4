import { afterAll, beforeAll, expect, test } from 'vitest';
import { createObjectStore, type StreamStore } from '../../activities/storage/object-store.ts';
import { type ObjectServer, startObjectServer } from '../support/object-server.ts';

/** As many parts as a backup makes, of the least size that S3 takes. */
const [PARTS, PART] = [600, 5 * 1024 ** 2];

let server: ObjectServer;
let store: StreamStore;
beforeAll(async () => {
  server = await startObjectServer();
  store = createObjectStore(server.settings);
  await store.ensureBucket();
});
afterAll(async () => {
  store?.close();
  await server?.stop();
});

test('an object of as many parts as a backup makes is stored as a whole', async () => {
  const part = Buffer.alloc(PART, 'x');
  const parts = async function* () {
    for (let i = 0; i < PARTS; i++) yield part;
  };
  expect(await store.putStream('many', parts(), { partBytes: PART })).toBe(PARTS * PART);
  let bytes = 0;
  for await (const some of store.getStream('many')) bytes += some.length;
  expect(bytes).toBe(PARTS * PART);
  expect(await store.listUploads('')).toEqual([]);
});
