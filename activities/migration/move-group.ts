import { ServerError } from '../redis/protocol.ts';
import { WireLost } from '../redis/wire.ts';
import { messageOf } from '../support/failure.ts';
import type { KeyCopies } from './key-copies.ts';
import type { KeyBatch, KeysWanted, SlotNode } from './slot-node.ts';

/** What a group of slots needs on its way. */
export interface GroupMove {
  readonly source: SlotNode;
  readonly destination: SlotNode;
  /** The other primaries, to be told whose the slots are. */
  readonly others: readonly SlotNode[];
  readonly slots: readonly number[];
  /** Slots that may hold large keys: these are measured before they are sent, and the large ones go alone. */
  readonly careful?: ReadonlySet<number>;
  /** Slots that are handed over at once, when it is not as usual. */
  readonly atOnce?: number;
}

/** How fast it goes is decided outside, batch by batch. */
export interface Throttle {
  /** Keys that are sent in one go. */
  batchKeys(): number;
  /** Bytes of one MIGRATE, where they are known. */
  readonly batchBytes: number;
  /** Told of each time that keys were sent; rests as long as it should. `bytes` when they are known. */
  moved(keys: number, tookMs: number, bytes?: number): Promise<void>;
  /** Asked before keys are sent and before slots are handed over. @throws when this driver must not go on: another does its work */
  mayGoOn(): Promise<void>;
  /** Asked before keys are sent that were measured. @throws when they must not be */
  readonly admit?: (part: KeyBatch, slot: number) => Promise<void>;
  /** Given copies of keys right before they are sent, where the destination may lose them again. */
  readonly keep?: (copies: KeyCopies) => void;
}

/** For what a MIGRATE waits for bytes of the other side. Two of them are below the servers' own patience with one another. */
export const MIGRATE_TIMEOUT_MS = 1500;

/**
 * Moves a group of slots: opens them, moves their keys, hands them over. Once opened there is only one way, forward: a client may have written a
 * new key to the destination already. Safe to run again from any point. The order is that of the cluster specification; the destination is told
 * first, and only when the source counts no key: told earlier, the source would throw away what it still has.
 * Slots are handed over while the keys of the next ones are on their way: the one mostly waits for other servers than the other.
 */
export async function moveGroup(group: GroupMove, throttle: Throttle): Promise<void> {
  await openSlots(group);
  const finish = async (slots: readonly number[]) => {
    await drain({ ...group, slots }, throttle); // as a rule nothing is left
    await handOver({ ...group, slots }, throttle);
  };
  let finishing = Promise.resolve();
  try {
    for await (const slots of sendKeys(group, await group.source.count(group.slots), throttle)) {
      await finishing;
      finishing = finish(slots);
      finishing.catch(() => undefined); // it is thrown where it is awaited
    }
  } finally {
    await finishing; // whoever tries the group again must be alone with it
  }
}

export async function openSlots({ source, destination, slots }: GroupMove): Promise<void> {
  await destination.importing(slots, source.nodeId);
  await source.migrating(slots, destination.nodeId);
}

/** Until the source counts no key in any of the slots. */
export async function drain(group: GroupMove, throttle: Throttle): Promise<void> {
  for (let { slots } = group; ; ) {
    const counts = await group.source.count(slots);
    slots = slots.filter((_, index) => counts[index] !== 0);
    if (slots.length === 0) return;
    for await (const _ of sendKeys(
      { ...group, slots },
      counts.filter((keys) => keys !== 0),
      throttle,
    ));
  }
}

/** The next keys to send: their names are on the way. */
interface Load {
  readonly lists: Promise<readonly KeyBatch[]>;
  /** The one slot that they are of, when they are to be measured first. */
  readonly measured?: number;
  /** Slots of which these are the last keys. */
  readonly last: readonly number[];
}

/**
 * Sends the keys of the slots, as many at once as the throttle says, of as many slots as that takes: few keys in each slot cost no more than many.
 * @param counts the keys of each slot: it is open, so it gets no more of them
 * @yields slots when their keys have left
 */
async function* sendKeys(
  { source, destination, slots, careful, atOnce = HANDED_OVER_AT_ONCE }: GroupMove,
  counts: readonly number[],
  throttle: Throttle,
): AsyncGenerator<readonly number[]> {
  const left = slots.map((slot, index) => ({ slot, keys: counts[index] ?? 0 }));
  const nextLoad = (): Load | undefined => {
    let room = throttle.batchKeys();
    const wants: KeysWanted[] = [];
    const last: number[] = [];
    let isCareful = false;
    for (let one = left[0]; one !== undefined && room > 0; one = left[0]) {
      const alone = careful?.has(one.slot) === true;
      if (wants.length > 0 && (isCareful || alone)) break;
      const most = Math.min(room, one.keys);
      if (most > 0) {
        wants.push({ slot: one.slot, most });
        isCareful = alone;
      }
      room -= most;
      one.keys -= most;
      if (one.keys > 0) {
        // The next load asks for the rest of them: by then the source must have been told to send these, which it is in this order.
        wants.unshift(...wants.splice(-1));
        break;
      }
      last.push(one.slot);
      left.shift();
    }
    if (wants.length === 0 && last.length === 0) return undefined;
    const lists = source.keys(wants);
    lists.catch(() => undefined); // it is thrown where it is awaited
    const [only] = wants;
    return { lists, last, ...(isCareful && only !== undefined ? { measured: only.slot } : {}) };
  };
  let emptied: number[] = [];
  for (let load = nextLoad(); load !== undefined; ) {
    const lists = (await load.lists).filter(({ count }) => count > 0);
    const [only] = lists;
    const { last, measured } = load;
    const parts =
      measured !== undefined && only !== undefined ? (await source.split(only, throttle.batchBytes)).map((part) => [part]) : [lists];
    for (const [index, part] of parts.entries()) {
      const [first] = part;
      if (measured !== undefined && first !== undefined) await throttle.admit?.(first, measured);
      if (part.length > 0) await throttle.mayGoOn();
      const sent = part.length > 0 ? send(source, destination, part, throttle) : undefined;
      // The next names come while these keys are under way: the source takes one command of a connection after the other.
      if (index === parts.length - 1) load = nextLoad();
      await sent;
    }
    emptied.push(...last);
    if (emptied.length < atOnce && load !== undefined) continue;
    yield emptied;
    emptied = [];
  }
}

function send(source: SlotNode, destination: SlotNode, part: readonly KeyBatch[], throttle: Throttle): Promise<void> {
  const keys = part.reduce((sum, { count }) => sum + count, 0);
  const [{ bytes } = { bytes: undefined }] = part; // known where a slot is sent with care, by itself
  const keep = (bytes ?? 0) > MOST_COPIED_BYTES ? undefined : throttle.keep;
  const sent = source.migrate(part, destination, timeoutFor(bytes), keep).then((tookMs) => throttle.moved(keys, tookMs, bytes));
  sent.catch(() => undefined); // it is thrown where it is awaited
  return sent;
}

/** Of what is larger no copy is kept: it would hold up its shard twice. */
const MOST_COPIED_BYTES = 8 * 1024 ** 2;

/** A large key takes its time, on both sides. */
const timeoutFor = (bytes = 0): number => MIGRATE_TIMEOUT_MS + Math.ceil(bytes / SLOWEST_BYTES_A_MS);
const SLOWEST_BYTES_A_MS = 10_000;

/** Slots that are handed over at once: each time every node hears of it, and writes down who owns what. */
export const HANDED_OVER_AT_ONCE = 64;

/** The destination owns the slots, and every primary knows it. */
export async function handOver(
  { source, destination, others, slots, atOnce = HANDED_OVER_AT_ONCE }: GroupMove,
  throttle: Pick<Throttle, 'mayGoOn'>,
): Promise<void> {
  for (let at = 0; at < slots.length; at += atOnce) {
    const some = slots.slice(at, at + atOnce);
    await throttle.mayGoOn();
    // A source that failed over in between may have taken new keys: they would be thrown away. And a former primary counts what it was told last.
    if ((await source.countAsPrimary(some)).some((keys) => keys > 0)) throw new ServerError('TRYAGAIN keys have come back to the source');
    const tell = () =>
      Promise.all([
        source.assign(some, destination.nodeId, 'lenient'),
        ...others.map((other) => other.assign(some, destination.nodeId, 'lenient').catch(awayOnly)),
      ]);
    try {
      await destination.claim(some);
    } catch (error) {
      // Its replicas may have heard of it, and it may be dead. The next word of a source that says that the slots are its own would make them that one's again, and a replica
      // that is promoted then deletes their keys. They have left the source in any case: whoever leads the shard next takes them.
      if (!(error instanceof WireLost) || destination.tellsReplicasFirst !== true) throw error;
      throw await tell().then(
        () => error,
        (also: unknown) =>
          new WireLost(`${error.message}; and not everybody could be told that it was given the slots: ${messageOf(also)}`),
      );
    }
    await tell();
  }
}

/** A node that is away hears of it by gossip when it is back: it must not keep the slots of others open. */
function awayOnly(error: unknown): void {
  if (!(error instanceof WireLost)) throw error;
}
