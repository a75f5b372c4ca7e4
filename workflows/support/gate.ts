import { condition } from '@temporalio/workflow';

/** Lets so many in at a time; the others wait, and a cancellation ends their wait. */
export function createGate(atOnce: number): <T>(work: () => Promise<T>) => Promise<T> {
  let inside = 0;
  return async (work) => {
    // One wakes up beside others that have waited for the same place.
    while (inside >= atOnce) await condition(() => inside < atOnce);
    inside++;
    try {
      return await work();
    } finally {
      inside--;
    }
  };
}
