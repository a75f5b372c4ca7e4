import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { failures } from '../../config/failures.ts';
import { placesById } from '../../model/layout.ts';
import { slotsOf } from '../../model/migration/moves.ts';
import { orphans } from '../../model/migration/orphans.ts';
import { unheard } from '../../model/migration/unheard.ts';
import { parseClusterNodes } from '../redis/parse.ts';
import { ServerError } from '../redis/protocol.ts';
import { WireLost } from '../redis/wire.ts';
import { isNotReady } from '../storage/unreachable.ts';
import { fatal, messageOf, passing } from '../support/failure.ts';
import { adoptSlots } from './adopt-slots.ts';
import { type ClusterNow, type ClusterRef, lookAtCluster, type MigrationDeps } from './cluster-now.ts';
import { fenceFormer } from './fence-former.ts';
import { type ConnectedNode, connectNode } from './slot-node.ts';
import { tellUnheard } from './tell-unheard.ts';

/** Connections to every primary; those to one that fails over are made anew. */
export interface Crew {
  /** Changes with every refresh; who failed with an older one need not ask for another. */
  readonly round: number;
  /** The primary of a shard. */
  primary(shard: number): ConnectedNode;
  primaries(): readonly ConnectedNode[];
  /** Slots of a shard, by the word of its own primary when it was connected. */
  slots(shard: number): readonly number[];
  now(): ClusterNow;
  /** Of all nodes of the cluster, also of those that were away when it was looked at: each has the same for as long as it lives. */
  addresses(): ReadonlySet<string>;
  /** The shard that a node belongs to, by node id; undefined for one that the spec has no place for. */
  shardOf(nodeId: string): number | undefined;
  /** The primary of that shard: the node itself may be gone, or a replica by now. */
  leaderOf(nodeId: string): string;
  /**
   * Looks anew and connects again, once for all who ask; waits for a failover to end.
   * @throws NodeAway when the cluster is not ready within `nodeAwayMs`, or soon when it was stopped and nothing is held
   */
  refresh(seen: number): Promise<void>;
  close(): void;
}

/** A promoted node does not know that it has slots open: until it is told, it answers for keys that have left. */
const LOOK_EVERY_MS = 100;

/** Who wants it to stop is not kept waiting for a node for longer than this; */
const STOPS_WITHIN_MS = 2000;
/** and when something would be lost, than this: a failover takes a tenth of it. */
export const STOPS_AT_LATEST_MS = 60_000;
const HOLDS_MS = 30_000;

export interface Gathering {
  /** So long is a cluster waited for that is not ready; but HOLDS_MS at least while something is held. */
  readonly nodeAwayMs: number;
  /** What a failover has left is mended before anything else is done. Who only looks changes nothing. */
  readonly mends: boolean;
  /** Told while the cluster is not ready, with the reason; and undefined when it is again. */
  readonly waits?: (why: string | undefined) => void;
  /** Asked while it waits: whether somebody wants it to stop. */
  readonly stopped?: () => boolean;
  /** Whether something would be lost if it gave up now: then it waits as long as it may, whoever wants it to stop, and for what passes outside of the cluster, too. */
  readonly holds?: () => boolean;
}

export async function gatherCrew(
  deps: MigrationDeps,
  cluster: ClusterRef,
  { nodeAwayMs, mends, waits = () => undefined, stopped = () => false, holds = () => false }: Gathering,
): Promise<Crew> {
  const places = placesById(cluster.spec, cluster.clusterId);
  let nodes: ReadonlyMap<number, ConnectedNode> = new Map();
  let owned: ReadonlyMap<number, readonly number[]> = new Map();
  let now: ClusterNow | undefined;
  let round = 0;
  let refreshing: Promise<void> | undefined;

  const disconnect = () => {
    for (const node of nodes.values()) node.close();
    nodes = new Map();
  };
  const look = async (): Promise<void> => {
    const seen = await lookAtCluster(deps, cluster);
    if (mends) await mend(seen);
    if (seen.unready.length > 0) throw new NotReady(seen.unready.slice(0, 3).join('; '));
    const connected = await Promise.allSettled(
      seen.shards.map(async ({ shard, primary }) => {
        if (primary === undefined) throw new NotReady(`shard ${shard} has no primary`);
        // What works is kept: other lanes are in the middle of their groups on it.
        const before = nodes.get(shard);
        if (before?.nodeId === primary.nodeId && before.alive) return [shard, before] as const;
        before?.close();
        return [shard, await connectNode(primary.nodeId, seen.target(primary))] as const;
      }),
    );
    nodes = new Map(connected.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])));
    const lost = connected.find((one) => one.status === 'rejected');
    if (lost !== undefined) throw lost.reason;
    const lines = await Promise.all(
      [...nodes].map(async ([shard, { wire }]) => {
        const myself = parseClusterNodes(String(await wire.one('CLUSTER', 'NODES'))).find((member) => member.myself);
        if (myself?.role !== 'primary') throw new NotReady(`shard ${shard} changes its primary`);
        return [shard, slotsOf(myself.slots)] as const;
      }),
    );
    owned = new Map(lines);
    now = seen;
  };
  const mend = async (seen: ClusterNow): Promise<void> => {
    const fenced = await fenceFormer(deps.docker, cluster, seen.shards, seen.observation);
    const orphaned = orphans(cluster.spec, cluster.clusterId, seen.observation);
    if (orphaned.length > 0) {
      await adoptSlots(cluster.spec.name, seen, orphaned, fenced);
      throw new NotReady(`shard ${orphaned[0]?.shard} takes slots that it did not know of`);
    }
    const untold = unheard(cluster.spec, cluster.clusterId, seen.observation);
    if (untold.length === 0) return;
    await tellUnheard(cluster.spec.name, seen, untold);
    throw new NotReady(`${untold[0]?.node.name} did not know whose ${untold[0]?.slots.length} slots are`);
  };
  const untilReady = async (): Promise<void> => {
    const begun = Date.now();
    let stoppedAt: number | undefined;
    for (;;) {
      try {
        await look();
        waits(undefined);
        round++;
        return;
      } catch (error) {
        const why = messageOf(error);
        waits(why);
        const now = Date.now();
        const mostMs = holds() ? Math.max(nodeAwayMs, HOLDS_MS) : nodeAwayMs;
        if (!(error instanceof NotReady) && !passes(error) && !(holds() && mayPass(error))) throw error;
        if (stopped()) stoppedAt ??= now;
        if (stoppedAt === undefined) {
          if (now - begun > mostMs) throw away(cluster.spec.name, mostMs, why);
        } else if (now - stoppedAt > (holds() ? Math.min(mostMs, STOPS_AT_LATEST_MS) : STOPS_WITHIN_MS))
          throw stoppedWaiting(cluster.spec.name, why);
      }
      await sleep(LOOK_EVERY_MS);
    }
  };
  try {
    await untilReady();
  } catch (error) {
    disconnect();
    throw error;
  }

  const shardOf = (nodeId: string): number | undefined => places.get(nodeId)?.shard;
  const present = (): ClusterNow => {
    if (now === undefined) throw new Error('nobody has looked yet');
    return now;
  };
  return {
    get round() {
      return round;
    },
    primary(shard) {
      const node = nodes.get(shard);
      if (node === undefined) throw new WireLost(`shard ${shard} is not connected`);
      return node;
    },
    primaries: () => [...nodes.values()],
    slots: (shard) => owned.get(shard) ?? [],
    now: present,
    addresses: () => new Set(present().observation.containers.map(({ address }) => address)),
    shardOf,
    leaderOf: (nodeId) => nodes.get(shardOf(nodeId) ?? -1)?.nodeId ?? nodeId,
    async refresh(seen) {
      if (seen !== round) return;
      refreshing ??= untilReady().finally(() => {
        refreshing = undefined;
      });
      await refreshing;
    },
    close: disconnect,
  };
}

class NotReady extends Error {}

/** The engine does not answer for a moment, or the bucket with the secrets; or Temporal, which is to say that nobody else has taken over. */
const mayPass = (error: unknown): boolean => isPassing(error) || isNotReady(error) || error instanceof CancelledFailure;

const isPassing = (error: unknown): error is ApplicationFailure => error instanceof ApplicationFailure && error.nonRetryable !== true;

const away = (cluster: string, nodeAwayMs: number, why: string) =>
  fatal(
    failures.nodeAway,
    `${cluster} was not ready for longer than nodeAwayMs (${nodeAwayMs} ms): ${why}. Slots that could be closed are closed. Next: holdfast status ${cluster}; when its nodes are back, holdfast repair ${cluster}, and then the same operation again`,
  );

/** It passes: who has stopped it may go on later. */
const stoppedWaiting = (cluster: string, why: string) =>
  passing(failures.nodeAway, `it was stopped while ${cluster} was not ready: ${why}`);

/** Whether it is what `refresh` throws when it was stopped. */
export const isStoppedWait = (error: unknown): error is ApplicationFailure => isPassing(error) && error.type === failures.nodeAway;

/** Errors behind which a failover or a restart may stand: the connection, or a server that is not who it was. */
const PASSING_KINDS = new Set([
  'MOVED',
  'ASK',
  'CLUSTERDOWN',
  'READONLY',
  'LOADING',
  'IOERR',
  'TRYAGAIN',
  'MASTERDOWN',
  'BUSY',
  'NOREPLICAS',
  'EXECABORT',
]);
const PASSING =
  /with masters|with primaries|not a master|not a primary|Unknown node|don't know about node|Target instance replied with error: -?(MOVED|READONLY|CLUSTERDOWN|LOADING|MASTERDOWN|OOM|BUSY|TRYAGAIN|NOREPLICAS)|still hold keys/i;

const MOST_FAILOVERS = 5;

/** Does what is safe to repeat, and again after a failover in its middle. @throws what the last of five tries did, and what `refresh` does */
export async function throughFailovers<T>(crew: Crew, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const { round } = crew;
    try {
      return await work();
    } catch (error) {
      if (!passes(error) || tries === MOST_FAILOVERS) throw error;
      await crew.refresh(round);
    }
  }
}

/** Whether it can help to look again and go on. */
export const passes = (error: unknown): boolean =>
  error instanceof WireLost || (error instanceof ServerError && (PASSING_KINDS.has(error.kind) || PASSING.test(error.message)));
