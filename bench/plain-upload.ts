/**
 * Puts what comes on stdin into the bucket as it is, not compressed and not sealed, by the same upload as Holdfast's: what stands behind the pipe of `valkey-cli --rdb -`.
 * Its argument is the object's key; prints how many bytes there were.
 */
import { createObjectStore } from '../activities/storage/object-store.ts';
import { readSettings } from '../config/settings.ts';

const store = createObjectStore(readSettings(process.env));
const bytes = await store.putStream(process.argv[2] ?? '', process.stdin, { readBack: true });
store.close();
console.log(bytes);
