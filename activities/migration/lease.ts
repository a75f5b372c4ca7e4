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

interface Patience {
  readonly askEveryMs: number;
  /** Younger than the heartbeat timeout: nobody else can have begun. */
  readonly freshMs: number;
  /** A group that is open is ended within this time, whoever answers. */
  readonly goOnMs: number;
  readonly giveUpMs: number;
}

const usual: Patience = { askEveryMs: 2000, freshMs: 7000, goOnMs: 30_000, giveUpMs: 60_000 };

const ASK_AGAIN_MS = 100;

/** @param confirm asks Temporal; false when it waits for another attempt, or for none at all. Throws when nobody answers. */
export function holdLease(confirm: () => Promise<boolean>, patience: Patience = usual): Lease {
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
  const timer = setInterval(() => void ask(), patience.askEveryMs);
  const lease: Lease = {
    whyNot: () =>
      superseded
        ? 'another attempt has taken over'
        : silentMs() > patience.freshMs
          ? `Temporal has not answered for ${Math.round(silentMs() / 1000)} s, and another worker may have taken over`
          : undefined,
    get over() {
      return superseded || silentMs() > patience.giveUpMs;
    },
    async mayGoOn() {
      const mustAsk = () => !superseded && silentMs() > patience.goOnMs;
      while (mustAsk()) {
        await ask();
        if (mustAsk()) await sleep(ASK_AGAIN_MS);
      }
      if (superseded) throw new Superseded('another attempt has taken over');
    },
    end: () => clearInterval(timer),
  };
  return lease;
}
