import { setTimeout as pause } from 'node:timers/promises';
import calculateSlot from 'cluster-key-slot';
import { createLoadClient, type Login } from './load-client.ts';

/** Keys that stamped writes go to, over all slots. */
export const STAMPED = Array.from({ length: 48 }, (_, number) => `stamped:${number}`);

/** Keys that belong to these slots; all where there are none. */
export const stampedIn = (slots: readonly string[]): readonly string[] =>
  STAMPED.filter((key) => {
    const slot = calculateSlot(key);
    const has = ([from = 0, to = from]: readonly number[]) => slot >= from && slot <= to;
    return slots.length === 0 || slots.some((range) => has(range.split('-').map(Number)));
  });

const WRITERS = 6;
const PAUSE_MS = 4;

/** Adds entries to streams until it is stopped. The server numbers each by its own clock, so every write tells when it was made. What fails is not tried again: what is there in the end is what was written. */
export function startStampedWrites(login: Login) {
  let running = true;
  let done = 0;
  const writer = async (): Promise<void> => {
    const client = createLoadClient(login);
    try {
      while (running) {
        const { end } = await client.call('XADD', STAMPED[Math.floor(Math.random() * STAMPED.length)] ?? '', '*', 'n', done);
        if (end === 'ok') done++;
        await pause(end === 'ok' ? PAUSE_MS : 50);
      }
    } finally {
      client.close();
    }
  };
  const writers = Array.from({ length: WRITERS }, writer);
  return {
    done: () => done,
    async stop(): Promise<void> {
      running = false;
      await Promise.all(writers);
    },
  };
}

/** When each entry of a key was written, ms since 1970, in order. */
export type Stamps = ReadonlyMap<string, readonly number[]>;

/** What is wrong with a shard that was cut right after a stamp; nothing when each of its keys has exactly what was written until then. */
export function wrongWithCut(keys: readonly string[], found: Stamps, all: Stamps, stampMs: number): readonly string[] {
  return keys.flatMap((key) => {
    const [its, whole] = [found.get(key) ?? [], all.get(key) ?? []];
    const next = whole[its.length];
    return [
      ...(its.every((ms, at) => ms === whole[at]) ? [] : [`${key} is no beginning of what was written`]),
      ...((its.at(-1) ?? 0) <= stampMs ? [] : [`${key} has a write of ${its.at(-1)}`]),
      ...(next === undefined || next >= stampMs
        ? []
        : [`${key} lacks what was written from ${next} on, of ${whole.length} it has ${its.length}`]),
    ];
  });
}
