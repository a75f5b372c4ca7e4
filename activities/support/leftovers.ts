/** So much may lie around; a collection of young objects takes half a millisecond with the small room that a worker gives them. What outlives two of them waits for a collection of all. */
const MOST_BYTES = 4 * 1024 ** 2;

type Collect = (options: { readonly type: 'minor' }) => void;
let bytes = 0;

/**
 * Told of bytes that were made outside of the heap and will be thrown away soon. V8 collects such bytes by itself when there are 64 MiB of them, a third of a worker's memory; a worker
 * is started so that it may be asked to earlier (workers/process.ts). Anywhere else nothing happens.
 */
export function madeLeftovers(more: number): void {
  bytes += more;
  if (bytes < MOST_BYTES) return;
  bytes = 0;
  const { gc } = globalThis as { readonly gc?: Collect };
  gc?.({ type: 'minor' });
}
