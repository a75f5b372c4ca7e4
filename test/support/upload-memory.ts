import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { openStream } from '../../activities/backup/open.ts';
import { sealStream } from '../../activities/backup/seal.ts';
import { createObjectStore } from '../../activities/storage/object-store.ts';
import { readSettings } from '../../config/settings.ts';

/**
 * A process of its own that seals, uploads, reads and opens so many bytes, and prints how much memory it took more than before: as a stream, or
 * (to show that it would be seen) whole.
 */
const [how = '', size = ''] = process.argv.slice(2);
const store = createObjectStore(readSettings(process.env));
const kek = { id: '000001-0123456789abcdef', key: randomBytes(32) };
const chunk = randomBytes(64 * 1024);

async function* source(bytes: number) {
  for (let at = 0; at < bytes; at += chunk.length) {
    randomBytes(64).copy(chunk, 0); // nothing that zstd has seen lately
    yield Buffer.from(chunk);
  }
}

async function roundTrip(bytes: number): Promise<number> {
  const sealing = sealStream(source(bytes), { kek, content: 'rdb', compression: 'none' });
  const key = `memory/${sealing.id}`;
  if (how === 'whole') await store.put(key, await buffer(sealing.bytes));
  else await store.putStream(key, sealing.bytes, { partBytes: 8 * 1024 ** 2, queue: 3 });
  let read = 0;
  for await (const part of openStream(store.getStream(key), { name: key, kekById: async () => kek.key, id: sealing.id }).bytes)
    read += part.length;
  return read;
}

await roundTrip(16 * 1024 ** 2); // code is loaded, buffers are as large as they get
const before = process.memoryUsage().rss;
let most = before;
const watching = setInterval(() => {
  most = Math.max(most, process.memoryUsage().rss);
}, 10);
const read = await roundTrip(Number(size));
clearInterval(watching);
store.close();
process.stdout.write(JSON.stringify({ read, grownBytes: most - before }));
