import { probeKey } from '../../config/names.ts';
import { SLOTS } from '../../model/slots.ts';
import { slotOfKey } from '../redis/key-slot.ts';
import { ServerError } from '../redis/protocol.ts';
import type { Wire } from '../redis/wire.ts';
import { isCopied, waitForCopy } from './wait-for-copy.ts';

/** What the probe wrote into one slot. */
interface Entry {
  /** Number of the last write that was acknowledged; 0 when it is enough that the key is there. */
  readonly acknowledged: number;
  /** When, in ms since 1970. */
  readonly at: number;
}

/** An acknowledged write that is gone. */
export interface LostWrite {
  readonly slot: number;
  readonly key: string;
  readonly written: number;
  /** What is there instead; null when there is nothing. */
  readonly found: number | null;
  /** ISO 8601: when the lost write was acknowledged. */
  readonly at: string;
}

/** Nothing may be left of a probe for ever, whatever happens to whoever should remove it. */
const EXPIRE_SECONDS = 7 * 86_400;
/** A key that was written so long ago is about to expire: nobody can say any more that it should be there. */
const KNOWN_FOR_MS = (EXPIRE_SECONDS - 3600) * 1000;

/** The number of a write says when it was, and by which writer: milliseconds since 1970, and three digits. */
const WRITERS = 1000;
/** So long may two attempts write side by side, when the one that was given up has not heard of it yet. */
const OVERLAP_MS = 10_000;

/**
 * Why a slot moves without a key of the ledger: it is open already, by an attempt of which nothing is known; or its owner takes no writes, and
 * may be full, which is why it is to give slots away.
 */
const WITHOUT_KEY = new Set(['ASK', 'OOM', 'MISCONF', 'NOREPLICAS']);

/**
 * Numbered writes of the probe, one key a slot: each write that the cluster acknowledged must be there afterwards, or one with a higher number.
 * It is what proves that a move of slots lost nothing.
 */
export class Ledger {
  readonly #entries = new Map<number, Entry>();
  readonly #copies: boolean;
  readonly #writer = Math.floor(Math.random() * WRITERS);
  #lastMs = 0;
  written = 0;
  acknowledged = 0;

  /** @param copies whether shards have replicas: then a write counts when one of them has it, since the servers promise no more */
  constructor(copies = false) {
    this.#copies = copies;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Whether a slot has a key of the ledger. */
  has(slot: number): boolean {
    return this.#entries.has(slot);
  }

  /** Slots that have a key of the ledger. */
  slots(): readonly number[] {
    return [...this.#entries.keys()];
  }

  /** Takes up what an earlier attempt knew. @param since when the move began, in ms since 1970 */
  resume(slots: readonly number[], acknowledged: Readonly<Record<string, number>>, since: number): void {
    for (const slot of slots) {
      const number = acknowledged[slot] ?? 0;
      this.#entries.set(slot, { acknowledged: number, at: number === 0 ? since : msOf(number) });
    }
  }

  /** Numbers that are worth telling the next attempt; of all others it is enough that the key is there. */
  numbers(slots: Iterable<number>): Readonly<Record<string, number>> {
    const known = [...slots].map((slot) => [slot, this.#entries.get(slot)?.acknowledged ?? 0] as const);
    return Object.fromEntries(known.filter(([, number]) => number > 0));
  }

  /** The number of the next write; higher than all before, also than those of earlier attempts. */
  next(): number {
    this.written++;
    this.#lastMs = Math.max(Date.now(), this.#lastMs + 1);
    return this.#lastMs * WRITERS + this.#writer;
  }

  acknowledge(slot: number, written: number): void {
    this.acknowledged++;
    this.#entries.set(slot, { acknowledged: written, at: Date.now() });
  }

  /**
   * Every slot has a key, written to its owner before the slot is opened. One that has a key already keeps it: its owner may have failed over in
   * the middle and not know that the key has left, and would bring up an old number.
   * @returns slots in which there is a key more now
   */
  async prepare(owner: Wire, slots: readonly number[]): Promise<ReadonlySet<number>> {
    const fresh = slots.filter((slot) => !this.#entries.has(slot));
    if (fresh.length === 0) return new Set();
    const writes = fresh.map((slot) => ['SET', keyOfSlot(slot), 0, 'NX', 'EX', EXPIRE_SECONDS]);
    const replies = await owner.ask(this.#copies ? [...writes, ...waitForCopy(COPIED_WITHIN_MS)] : writes);
    const made = new Set(fresh.filter((_, index) => String(replies[index]) === 'OK')); // none where an earlier attempt has left one
    if (this.#copies && !isCopied(replies.slice(writes.length))) return made; // its replica may not have them, and lead next: then they would not be there
    for (const [index, slot] of fresh.entries()) {
      const reply = replies[index];
      if (reply instanceof ServerError && WITHOUT_KEY.has(reply.kind)) continue;
      if (reply instanceof ServerError) throw reply;
      this.written++;
      this.acknowledged++;
      this.#entries.set(slot, { acknowledged: 0, at: Date.now() });
    }
    return made;
  }

  /** How many of a slot's keys are the ledger's, 1 or 0: of an attempt that died, or whose write was not copied in time, there may be one that it does not know. */
  async ownKeys(owner: Wire, slots: readonly number[]): Promise<readonly number[]> {
    const strange = slots.filter((slot) => !this.has(slot));
    const replies = await owner.ask(strange.map((slot) => ['EXISTS', keyOfSlot(slot)]));
    const found = new Set(strange.filter((_, index) => replies[index] === 1));
    return slots.map((slot) => (this.has(slot) || found.has(slot) ? 1 : 0));
  }

  /** Reads the keys of slots back from their owner. @returns writes that were acknowledged and are not there */
  async check(owner: Wire, slots: readonly number[]): Promise<readonly LostWrite[]> {
    const oldest = Date.now() - KNOWN_FOR_MS;
    const known = slots.flatMap((slot) => {
      const entry = this.#entries.get(slot);
      return entry === undefined || entry.at < oldest ? [] : [{ slot, entry }]; // as of now: the probe goes on while it is read
    });
    const replies = await owner.ask(known.map(({ slot }) => ['GET', keyOfSlot(slot)]));
    return known.flatMap(({ slot, entry }, index): readonly LostWrite[] => {
      const reply = replies[index];
      if (reply instanceof ServerError) throw reply;
      const found = reply === null || reply === undefined ? null : Number(reply);
      if (found !== null && !isOlder(found, entry.acknowledged)) return [];
      return [{ slot, key: keyOfSlot(slot), written: entry.acknowledged, found, at: new Date(entry.at).toISOString() }];
    });
  }
}

const msOf = (number: number): number => Math.floor(number / WRITERS);

/** Whether a write that is there is an older one than that which was acknowledged: not when two writers were at it in the same moment. */
const isOlder = (found: number, acknowledged: number): boolean =>
  found < acknowledged && (found % WRITERS === acknowledged % WRITERS || msOf(acknowledged) - msOf(found) > OVERLAP_MS);

const COPIED_WITHIN_MS = 500;

/** The write of the probe as commands take it. */
export const probeWrite = (slot: number, number: number): readonly (string | number)[] => [keyOfSlot(slot), number, 'EX', EXPIRE_SECONDS];

let tags: readonly string[] | undefined;

/** The key of the ledger in a slot. */
export function keyOfSlot(slot: number): string {
  tags ??= findTags();
  return probeKey(tags[slot] ?? '');
}

/** A short tag for every slot. */
function findTags(): readonly string[] {
  const found: string[] = [];
  for (let number = 0, missing = SLOTS; missing > 0; number++) {
    const tag = number.toString(36);
    const slot = slotOfKey(Buffer.from(tag));
    if (found[slot] !== undefined) continue;
    found[slot] = tag;
    missing--;
  }
  return found;
}
