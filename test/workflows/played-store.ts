import { buffer } from 'node:stream/consumers';
import type { StreamStore } from '../../activities/storage/object-store.ts';

/** A bucket in memory. */
export function playedStore(): StreamStore {
  const objects = new Map<string, Uint8Array>();
  return {
    ensureBucket: async () => undefined,
    get: async (key) => objects.get(key),
    put: async (key, body) => void objects.set(key, Buffer.from(body)),
    putNew: async (key, body) => !objects.has(key) && objects.set(key, Buffer.from(body)).size > 0,
    remove: async (key) => void objects.delete(key),
    list: async (prefix) => [...objects.keys()].filter((key) => key.startsWith(prefix)),
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
