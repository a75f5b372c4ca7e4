import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type { StreamStore } from '../../activities/storage/object-store.ts';

const etagOf = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex');

/** The bucket, in memory. `writes`: how many small objects were put. */
export function memoryStore(): StreamStore & { readonly objects: Map<string, Buffer>; readonly writes: number } {
  const objects = new Map<string, Buffer>();
  let writes = 0;
  const write = (key: string, body: Uint8Array | string): void => {
    writes += 1;
    objects.set(key, Buffer.from(body));
  };
  return {
    objects,
    get writes() {
      return writes;
    },
    ensureBucket: async () => undefined,
    get: async (key) => objects.get(key),
    async read(key) {
      const bytes = objects.get(key);
      return bytes === undefined ? undefined : { bytes, etag: etagOf(bytes) };
    },
    put: async (key, body) => write(key, body),
    async putNew(key, body) {
      if (objects.has(key)) return false;
      write(key, body);
      return true;
    },
    remove: async (key) => void objects.delete(key),
    async removeAll(keys) {
      for (const key of keys) objects.delete(key);
    },
    list: async (prefix) => [...objects.keys()].filter((key) => key.startsWith(prefix)),
    listObjects: async (prefix) =>
      [...objects]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, bytes]) => ({ key, bytes: bytes.length, modifiedAt: new Date(0), etag: etagOf(bytes) })),
    async putStream(key, source) {
      const bytes = await buffer(source);
      objects.set(key, bytes);
      return bytes.length;
    },
    async *getStream(key) {
      yield objects.get(key) ?? Buffer.alloc(0);
    },
    async head(key) {
      const bytes = objects.get(key)?.length;
      return bytes === undefined ? undefined : { bytes, modifiedAt: new Date(0) };
    },
    listUploads: async () => [],
    abortUpload: async () => undefined,
    close: () => undefined,
  };
}
