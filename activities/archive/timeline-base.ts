import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplicationFailure } from '@temporalio/common';
import { ARCHIVE_FORMAT, type TimelineBegin } from '../../config/archive.ts';
import { backupKeys } from '../../config/names.ts';
import type { KeyRing } from '../backup/key-ring.ts';
import { storeRdb } from '../backup/store-rdb.ts';
import { type FullSync, handshake } from '../replication/handshake.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { Superseded } from './line.ts';
import { type ShardNode, type ShardNow, timeOfShard } from './shard-now.ts';

export interface BaseDeps {
  readonly store: StreamStore;
  readonly ring: KeyRing;
  readonly look: () => Promise<ShardNow>;
  readonly signal: AbortSignal;
  readonly progress: (bytes: number) => void;
  readonly onProblem: (error: unknown) => void;
  /** Whether this attempt is still the one that is waited for. */
  readonly confirm: () => Promise<boolean>;
}

/** A timeline that has begun to be followed, and has no base yet. */
export interface Baseless {
  readonly id: string;
  readonly cluster: string;
  readonly clusterId: string;
  readonly shard: number;
  readonly because: TimelineBegin['because'];
  readonly startOffset: number;
  /** The replication id as of now. */
  readonly replid: () => string;
}

const PAUSE_MS = 1000;

/** The timeline has a base, and says so: until then it is none. Begun anew as often as it takes, from any node that is on the timeline. */
export async function storeBase(
  deps: BaseDeps,
  line: Baseless,
  first: { readonly synced: FullSync; readonly node: ShardNode; readonly slots: string; readonly startedAt: Date },
): Promise<TimelineBegin> {
  const { store, ring, signal } = deps;
  const { id, cluster, clusterId, shard, because } = line;
  for (let from: typeof first | undefined = first; ; from = undefined) {
    try {
      const { synced, node, slots, startedAt } = from ?? (await another(deps, line));
      const base = await storeRdb(store, {
        readBack: false,
        synced,
        source: node.source,
        shard,
        slots,
        key: backupKeys.base(cluster, shard, id, randomBytes(4).toString('hex')),
        partOf: { cluster, timeline: id },
        kek: await ring.current(),
        signal,
        startedAt,
        progress: deps.progress,
      });
      const begin: TimelineBegin = { format: ARCHIVE_FORMAT, id, cluster, clusterId, shard, base, because, began: startedAt.toISOString() };
      await requireAwaited(deps);
      await store.put(backupKeys.begin(cluster, shard, id), `${JSON.stringify(begin, null, 2)}\n`);
      return begin;
    } catch (error) {
      if (signal.aborted || error instanceof Superseded || (error instanceof ApplicationFailure && error.nonRetryable === true))
        throw error;
      deps.onProblem(error);
      await sleep(PAUSE_MS, undefined, { signal });
    }
  }
}

/** What is left of an attempt that was given up may be gone by now: a rotation, or the next attempt, takes it for nobody's. */
async function requireAwaited({ confirm, signal, onProblem }: BaseDeps): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      if (await confirm()) return;
    } catch (error) {
      onProblem(error); // nobody answers
      await sleep(PAUSE_MS, undefined, { signal });
      continue;
    }
    throw new Superseded('another attempt has taken over');
  }
}

async function another({ look, signal }: BaseDeps, line: Baseless) {
  const { nodes, slots } = await look();
  const node = nodes.find(({ place }) => place.replid === line.replid() && place.offset >= line.startOffset);
  if (node === undefined) throw new Error('no node of the shard has come so far');
  const startedAt = await timeOfShard(nodes, node);
  const synced = await handshake(node.target, { rdbOnly: true, signal });
  if (synced.how === 'full' && synced.replid === line.replid() && synced.offset >= line.startOffset)
    return { synced, node, slots, startedAt };
  synced.link.close();
  throw new Error(`${node.source.name} has begun another stream`);
}
