import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '@temporalio/activity';
import { type Followers, followersOf, mayLeadUnlinked } from './copies.ts';
import type { Crew } from './crew.ts';
import type { KeyCopies } from './key-copies.ts';
import type { Ledger } from './ledger.ts';
import type { Throttle } from './move-group.ts';
import { removeLeftovers, restoreCopies } from './put-back.ts';
import type { ConnectedNode } from './slot-node.ts';

/**
 * Copies of keys that a destination has, and its replicas perhaps not yet. MIGRATE deletes a key at its source as soon as the destination has it: a
 * destination that dies in the next moment takes along what its replica has not got, also keys that nobody has touched for years. These are put
 * back on whoever is promoted. And a source that dies in the next moment has not told its replica that they have left: there they are removed.
 */
export interface Unconfirmed {
  /** Keys that have gone from one node to another. */
  keep(way: Way, copies: KeyCopies): void;
  /** Their slots are the destination's now, and all have been told. */
  handedOver(way: Way): void;
  /** Waits until there is room for more, for a while: without a replica there is none, and what is open must be closed. */
  room(): Promise<void>;
  /** Gives shards that have failed over since what did not get to the promoted node. Safe to repeat. */
  settle(): Promise<void>;
  /** The primary of a shard, with everything that its shard took before. */
  settled(shard: number): Promise<ConnectedNode>;
  /**
   * Waits until replicas have everything, for a while; but no longer than so that they have heard of the last hand-overs, too. @throws WireLost when a destination is away
   */
  drained(withinMs: number, heardWithinMs?: number): Promise<void>;
  /** Whether there are any: they are in this process only, and whoever ends it now may lose keys. */
  readonly any: boolean;
  end(): void;
}

/** Shards, and the node ids of those that led them. */
export interface Way {
  readonly from: number;
  readonly sourceId: string;
  readonly to: number;
  readonly destinationId: string;
}

interface Kept {
  readonly way: Way;
  readonly copies: KeyCopies;
  /** In the stream of the destination they come before this; undefined until it was asked. */
  endOffset?: number;
  /** In that of the source they are gone by this; likewise. */
  goneOffset?: number;
  /** When their slots were handed over, as `performance.now()`. */
  handedOverAt?: number;
}

const LOOK_EVERY_MS = 100;
/** By then a replica that is alive has heard of a hand-over from everybody. */
const HEARD_WITHIN_MS = 3000;
/** For who waits for the end: a little longer than hearing takes. */
export const HEARD_SOON_MS = 3500;
const MOST_SILENT_SECONDS = 1;
const MOST_BYTES = 64 * 1024 ** 2;
const ROOM_WITHIN_MS = 10_000;

/** @param stopped whether nobody needs them any more: then nothing is waited for */
export function keepUnconfirmed(cluster: string, crew: Crew, ledger: Pick<Ledger, 'has'>, stopped: () => boolean): Unconfirmed {
  const kept = new Map<number, Kept[]>();
  /** Names of the streams of sources, by node id. */
  const replids = new Map<string, string>();
  let bytes = 0;
  let looking: Promise<unknown> | undefined;
  let settling: Promise<void> | undefined;
  let fullSince: number | undefined;

  const keep: Unconfirmed['keep'] = (way, copies) => {
    if (bytes > 2 * MOST_BYTES) return; // nobody follows for so long that the worker's memory counts for more
    bytes += copies.body.length;
    kept.set(way.to, [...(kept.get(way.to) ?? []), { way, copies }]);
  };

  const drop = (shard: number, isDone: (one: Kept) => boolean): void => {
    const all = kept.get(shard) ?? [];
    const rest = all.filter((one) => !isDone(one));
    bytes -= all.filter(isDone).reduce((sum, { copies }) => sum + copies.body.length, 0);
    if (rest.length === 0) kept.delete(shard);
    else kept.set(shard, rest);
  };
  /** What every replica that follows has acknowledged is safe, whichever is promoted. */
  const lookAt = async (shard: number, hears = true): Promise<void> => {
    const { nodeId, wire } = crew.primary(shard);
    const asked = (kept.get(shard) ?? []).filter(({ way }) => way.destinationId === nodeId);
    const gone = await goneFrom(asked);
    const { offset, followers, clears } = await followersOf(wire, crew.addresses());
    for (const one of asked) one.endOffset ??= offset;
    if (followers.length === 0) return;
    const least = leastOf(followers);
    const have = ({ way, endOffset }: Kept) => way.destinationId === nodeId && (endOffset ?? Number.POSITIVE_INFINITY) <= least;
    const alive = followers.every(({ silentSeconds }) => silentSeconds <= MOST_SILENT_SECONDS);
    const heardBefore = performance.now() - HEARD_WITHIN_MS;
    const safe = ({ handedOverAt }: Kept) => !hears || !clears || (alive && (handedOverAt ?? Number.POSITIVE_INFINITY) <= heardBefore);
    drop(shard, (one) => have(one) && safe(one) && gone(one));
  };
  /**
   * Whether nobody who is promoted at the source still has them. While their slots are open that one would send them again, over what clients have written at the destination since; of slots that were handed
   * over it hears that they are not its own.
   */
  const goneFrom = async (asked: readonly Kept[]): Promise<(one: Kept) => boolean> => {
    const open = asked.filter(({ handedOverAt }) => handedOverAt === undefined);
    const sources = new Set(open.map(({ way }) => way.from));
    const least = new Map<string, number>();
    for (const from of sources) {
      const source = crew.primary(from);
      const { replid, offset, followers } = await followersOf(source.wire, crew.addresses());
      replids.set(source.nodeId, replid);
      for (const one of open) if (one.way.sourceId === source.nodeId) one.goneOffset ??= offset;
      least.set(source.nodeId, (await mayLeadUnlinked(source, followers)) ? Number.NEGATIVE_INFINITY : leastOf(followers));
    }
    return ({ way, goneOffset, handedOverAt }) =>
      handedOverAt !== undefined || (goneOffset ?? Number.POSITIVE_INFINITY) <= (least.get(way.sourceId) ?? Number.NEGATIVE_INFINITY);
  };
  const look = (): Promise<unknown> => {
    looking ??= Promise.allSettled([...kept.keys()].map((shard) => lookAt(shard))).finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer = setInterval(() => void look(), LOOK_EVERY_MS);

  const settle = async (): Promise<void> => {
    let restored = 0;
    for (const [shard, all] of [...kept]) {
      if (stopped()) return; // another does this work, and slots may have moved on
      const destination = crew.primary(shard);
      const moved = all.filter(({ way }) => way.destinationId !== destination.nodeId || way.sourceId !== crew.primary(way.from).nodeId);
      if (moved.length === 0) continue;
      const { promotedAt, clears } = await followersOf(destination.wire, crew.addresses());
      const has = ({ way, endOffset }: Kept) =>
        way.destinationId !== destination.nodeId && endOffset !== undefined && endOffset < promotedAt;
      for (const one of moved) {
        const { way, copies } = one;
        if (way.destinationId === destination.nodeId || (has(one) && !clears)) continue;
        restored += await restoreCopies(crew.primary(way.from), destination, copies, has(one) ? { cleared: ledger } : 'all');
      }
      for (const former of new Set(moved.map(({ way }) => way.sourceId))) {
        const own = moved.filter(({ way }) => way.sourceId === former);
        const source = crew.primary(own[0]?.way.from ?? -1);
        if (source.nodeId === former || stopped()) continue;
        await removeLeftovers(source, destination, { copies: own.map(({ copies }) => copies), formerStream: replids.get(former) });
      }
      if (stopped()) return;
      for (const one of moved) {
        drop(shard, (other) => other === one);
        // What was put back is new to the promoted node, too: it is kept until that one's replicas have it.
        if (has(one) && !clears) continue;
        keep({ ...one.way, sourceId: crew.primary(one.way.from).nodeId, destinationId: destination.nodeId }, one.copies);
      }
    }
    if (restored > 0) log.warn('keys that a primary took along when it died were put back', { cluster, keys: restored });
  };

  const settleOnce = (): Promise<void> => {
    settling ??= settle().finally(() => {
      settling = undefined;
    });
    return settling;
  };

  return {
    keep,
    handedOver({ from, to, destinationId }) {
      const now = performance.now();
      for (const one of kept.get(to) ?? []) if (one.way.from === from && one.way.destinationId === destinationId) one.handedOverAt ??= now;
    },
    async room() {
      fullSince = bytes > MOST_BYTES ? (fullSince ?? Date.now()) : undefined;
      while (bytes > MOST_BYTES && Date.now() < (fullSince ?? 0) + ROOM_WITHIN_MS && !stopped()) await sleep(LOOK_EVERY_MS / 4);
    },
    settle: settleOnce,
    async settled(shard) {
      for (;;) {
        await settleOnce();
        const primary = crew.primary(shard);
        // Another lane may have met a failover meanwhile.
        if ((kept.get(shard) ?? []).every(({ way }) => way.destinationId === primary.nodeId)) return primary;
      }
    },
    async drained(withinMs, heardWithinMs = withinMs) {
      const begun = Date.now();
      while (kept.size > 0 && Date.now() - begun < withinMs && !stopped()) {
        await settleOnce();
        const now = performance.now();
        for (const all of kept.values()) for (const one of all) one.handedOverAt ??= now; // nothing is open any more
        const hears = Date.now() - begun < heardWithinMs;
        await Promise.all([...kept.keys()].map((shard) => lookAt(shard, hears)));
        if (kept.size > 0) await sleep(LOOK_EVERY_MS / 4);
      }
    },
    get any() {
      return kept.size > 0;
    },
    end: () => clearInterval(timer),
  };
}

/** Infinite without any: then nobody can be promoted. */
const leastOf = (followers: Followers['followers']): number => Math.min(...followers.map(({ offset }) => offset));

/** The throttle of a group whose keys are kept until they are safe. */
export const keeping = (unconfirmed: Unconfirmed | undefined, way: Way, throttle: Throttle): Throttle =>
  unconfirmed === undefined
    ? throttle
    : {
        ...throttle,
        keep: (copies) => unconfirmed.keep(way, copies),
        async mayGoOn() {
          await unconfirmed.room();
          await throttle.mayGoOn();
        },
      };
