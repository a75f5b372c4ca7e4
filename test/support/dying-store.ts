import type { memoryStore } from './memory-store.ts';

/** What changes a store. */
const CHANGES = ['put', 'putNew', 'putStream', 'remove', 'removeAll'] as const;

/**
 * Does the same work again and again on a store; each time it dies right before one change more, until it comes to its end. What removes many objects dies in the middle of them.
 * @param between looked at after every death
 * @returns how often it died
 */
export async function diesAnywhere(
  store: ReturnType<typeof memoryStore>,
  work: () => Promise<unknown>,
  between: () => Promise<void>,
): Promise<number> {
  const real: Partial<Record<string, (...args: never) => unknown>> = Object.fromEntries(CHANGES.map((name) => [name, store[name]]));
  try {
    for (let survived = 0; ; survived++) {
      let left = survived;
      const dying = Object.fromEntries(
        CHANGES.map((name) => [
          name,
          async (...args: unknown[]) => {
            if (left-- <= 0) {
              if (name === 'removeAll') await real.removeAll?.(...([firstHalf(args[0])] as never));
              throw new Killed();
            }
            return real[name]?.(...(args as never));
          },
        ]),
      );
      Object.assign(store, dying);
      const ended = await work().then(
        () => true,
        (error: unknown) => {
          if (error instanceof Killed) return false;
          throw error;
        },
      );
      await between();
      if (ended) return survived;
    }
  } finally {
    Object.assign(store, real);
  }
}

const firstHalf = (keys: unknown): readonly string[] => (Array.isArray(keys) ? keys.slice(0, Math.ceil(keys.length / 2)) : []);

class Killed extends Error {}
