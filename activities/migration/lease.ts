import { setTimeout as sleep } from 'node:timers/promises';

/** Whether this attempt is still the one that Temporal waits for. A worker that is cut off, or was frozen, may have been given up long ago. */
export interface Lease {
  /** Why nothing may be begun now; undefined when this attempt was confirmed a moment ago. */
  whyNot(): string | undefined;
  /** Another attempt has taken over, or nobody could be asked for so long that it is as good as over. */
  readonly over: boolean;
  /**
   * In the middle of something that must be ended: returns at once, but after a long silence asks first.
   * @throws Superseded when another attempt has taken over
   */
  mayGoOn(): Promise<void>;
  end(): void;
}

/** Another attempt does the work of this one: it must not touch the cluster any more. Nobody reads this error. */
export class Superseded extends Error {}

const ASK_EVERY_MS = 2000;
/** Younger than the heartbeat timeout: nobody else can have begun. */
const FRESH_MS = 7000;
/** A group that is open is ended within this time, whoever answers. */
const GO_ON_MS = 30_000;
const GIVE_UP_MS = 60_000;
const ASK_AGAIN_MS = 100;

/** @param confirm asks Temporal; false when it waits for another attempt, or for none at all. Throws when nobody answers. */
export function holdLease(confirm: () => Promise<boolean>): Lease {
  let confirmedAt = Date.now();
  let superseded = false;
  let asking: Promise<void> | undefined;
  const ask = (): Promise<void> => {
    const at = Date.now();
    asking ??= confirm()
      .then(
        (ours) => {
          if (ours) confirmedAt = at;
          else superseded = true;
        },
        () => undefined, // nobody answered: how long ago that is, tells
      )
      .finally(() => {
        asking = undefined;
      });
    return asking;
  };
  const silentMs = () => Date.now() - confirmedAt;
  const timer = setInterval(() => void ask(), ASK_EVERY_MS);
  return {
    whyNot: () =>
      superseded
        ? 'another attempt has taken over'
        : silentMs() > FRESH_MS
          ? `Temporal has not answered for ${Math.round(silentMs() / 1000)} s, and another worker may have taken over`
          : undefined,
    get over() {
      return superseded || silentMs() > GIVE_UP_MS;
    },
    async mayGoOn() {
      const mustAsk = () => !superseded && silentMs() > GO_ON_MS;
      while (mustAsk()) {
        await ask();
        if (mustAsk()) await sleep(ASK_AGAIN_MS);
      }
      if (superseded) throw new Superseded('another attempt has taken over');
    },
    end: () => clearInterval(timer),
  };
}
