import { ServerError } from '../redis/protocol.ts';
import { WireLost } from '../redis/wire.ts';
import type { KeyCopies } from './key-copies.ts';
import type { KeyBatch, SlotNode } from './slot-node.ts';

/** What a group of slots needs on its way. */
export interface GroupMove {
  readonly source: SlotNode;
  readonly destination: SlotNode;
  /** The other primaries, to be told whose the slots are. */
  readonly others: readonly SlotNode[];
  readonly slots: readonly number[];
  /** Slots that may hold large keys: these are measured before they are sent, and the large ones go alone. */
  readonly careful?: ReadonlySet<number>;
}

/** How fast it goes is decided outside, batch by batch. */
export interface Throttle {
  /** Keys of the next MIGRATE. */
  batchKeys(): number;
  /** Bytes of one MIGRATE, where they are known. */
  readonly batchBytes: number;
  /** Told of each MIGRATE; rests as long as it should. `bytes` when they are known. */
  moved(keys: number, tookMs: number, bytes?: number): Promise<void>;
  /** Asked before keys are sent and before slots are handed over. @throws when this driver must not go on: another does its work */
  mayGoOn(): Promise<void>;
  /** Given copies of keys right before they are sent, where the destination may lose them again. */
  readonly keep?: (copies: KeyCopies) => void;
}

/** For what a MIGRATE waits for bytes of the other side. Below the servers' own patience with one another. */
export const MIGRATE_TIMEOUT_MS = 2000;

/**
 * Moves a group of slots: opens them, moves their keys, hands them over. Once opened there is only one way, forward: a client may have written a
 * new key to the destination already. Safe to run again from any point. The order is that of the cluster specification; the destination is told
 * first, and only when the source counts no key: told earlier, the source would throw away what it still has.
 */
export async function moveGroup(group: GroupMove, throttle: Throttle): Promise<void> {
  await openSlots(group);
  await drain(group, throttle);
  await handOver(group, throttle);
}

export async function openSlots({ source, destination, slots }: GroupMove): Promise<void> {
  await destination.importing(slots, source.nodeId);
  await source.migrating(slots, destination.nodeId);
}

/** Until the source counts no key in any of the slots. */
export async function drain(group: GroupMove, throttle: Throttle): Promise<void> {
  for (let left = group.slots; left.length > 0; ) {
    await drainOnce({ ...group, slots: left }, throttle);
    const counts = await group.source.count(left);
    left = left.filter((_, index) => counts[index] !== 0);
  }
}

async function drainOnce({ source, destination, slots, careful }: GroupMove, throttle: Throttle): Promise<void> {
  let ahead: { readonly slot: number; readonly most: number; readonly batch: Promise<KeyBatch> } | undefined;
  const ask = (slot: number) => {
    const most = throttle.batchKeys();
    const batch = source.keys(slot, most);
    batch.catch(() => undefined); // it is thrown where it is awaited
    return { slot, most, batch };
  };
  for (const [index, slot] of slots.entries()) {
    for (;;) {
      const asked = ahead?.slot === slot ? ahead : ask(slot);
      const batch = await asked.batch;
      ahead = undefined;
      if (batch.count === 0) break;
      const last = batch.count < asked.most;
      const next = slots[index + 1];
      const parts = careful?.has(slot) === true ? await source.split(batch, throttle.batchBytes) : [batch];
      for (const part of parts) {
        await throttle.mayGoOn();
        const keep = (part.bytes ?? 0) > MOST_COPIED_BYTES ? undefined : throttle.keep;
        const sent = source.migrate(part, destination, timeoutFor(part), keep);
        sent.catch(() => undefined);
        // The names of the next slot come while the keys of this one are under way.
        if (last && next !== undefined && ahead === undefined) ahead = ask(next);
        await throttle.moved(part.count, await sent, part.bytes);
      }
      if (last) break;
    }
  }
}

/** Of what is larger no copy is kept: it would hold up its shard twice. */
const MOST_COPIED_BYTES = 8 * 1024 ** 2;

/** A large key takes its time, on both sides. */
const timeoutFor = ({ bytes = 0 }: KeyBatch): number => MIGRATE_TIMEOUT_MS + Math.ceil(bytes / SLOWEST_BYTES_A_MS);
const SLOWEST_BYTES_A_MS = 10_000;

/**
 * Slots that are handed over at once. A node that takes a slot tells all others, and each deals with what it is told in one go: 256 slots at once
 * held up every primary for 12-17 ms, 16 for 3 (measured on Redis 7.0).
 */
export const HANDED_OVER_AT_ONCE = 16;

/** The destination owns the slots, and every primary knows it. */
export async function handOver({ source, destination, others, slots }: GroupMove, throttle: Pick<Throttle, 'mayGoOn'>): Promise<void> {
  for (let at = 0; at < slots.length; at += HANDED_OVER_AT_ONCE) {
    const some = slots.slice(at, at + HANDED_OVER_AT_ONCE);
    await throttle.mayGoOn();
    // A source that failed over in between may have taken new keys: they would be thrown away. And a former primary counts what it was told last.
    if ((await source.countAsPrimary(some)).some((keys) => keys > 0)) throw new ServerError('TRYAGAIN keys have come back to the source');
    await destination.assign(some, destination.nodeId);
    await Promise.all([
      source.assign(some, destination.nodeId, 'lenient'),
      ...others.map((other) => other.assign(some, destination.nodeId, 'lenient').catch(awayOnly)),
    ]);
  }
}

/** A node that is away hears of it by gossip when it is back: it must not keep the slots of others open. */
function awayOnly(error: unknown): void {
  if (!(error instanceof WireLost)) throw error;
}
