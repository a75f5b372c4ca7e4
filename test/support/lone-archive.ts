import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import type Docker from 'dockerode';
import type { ArchiveOptions } from '../../activities/archive/archive-deps.ts';
import { archiveShard } from '../../activities/archive/archive-shard.ts';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { readPieces } from '../../activities/archive/segment.ts';
import { placeOf, type ShardNow } from '../../activities/archive/shard-now.ts';
import { createKeyRing, type KeyRing } from '../../activities/backup/key-ring.ts';
import { openStream } from '../../activities/backup/open.ts';
import type { StreamStore } from '../../activities/storage/object-store.ts';
import type { ShardArchiveProgress } from '../../config/archive.ts';
import { nodePaths } from '../../config/names.ts';
import { endOfTimeline, piecesFrom, type Timeline } from '../../model/recovery/archive.ts';
import { type Contents, contentsOf, type LoneShard, load, type PlacedFile, type ShardNode } from './lone-shard.ts';
import { until } from './processes.ts';

/** The archive of a lone shard, with no Temporal and no worker. */
export interface LoneArchive {
  readonly cluster: string;
  readonly ring: KeyRing;
  readonly masterKey: Uint8Array;
  /** A node that nobody sees while it is here. */
  readonly hidden: Set<ShardNode>;
  /** Starts an attempt. */
  start(changes?: Partial<ArchiveOptions>): Attempt;
  timelines(): Promise<readonly Timeline[]>;
  /** All that was written by now is in the bucket; what the shard holds then, and its timeline. Writers have to wait meanwhile, also that of the clock: its keys come and go. */
  caughtUp(node: ShardNode): Promise<{ readonly held: Contents; readonly timeline: Timeline | undefined }>;
  /** What a server holds that loads a timeline's base and all that follows; `without` leaves segments out. */
  replayed(timeline: Timeline | undefined, without?: number): Promise<Contents>;
}

export interface Attempt {
  readonly progress: () => ShardArchiveProgress | undefined;
  readonly ended: Promise<void>;
  /** Ends it in the middle of whatever it does, as a worker that dies; nothing that is on its way arrives. */
  kill(): Promise<void>;
}

export function loneArchive(docker: Docker, shard: LoneShard, store: StreamStore): LoneArchive {
  const cluster = shard.spec.name;
  const masterKey = randomBytes(32);
  const ring = createKeyRing(store, [masterKey], cluster);
  const all = [shard.primary, shard.replica];
  const hidden = new Set<ShardNode>();
  const look = async (): Promise<ShardNow> => {
    const nodes = await Promise.all(
      all.map(async (node, ordinal) => {
        if (hidden.has(node)) return [];
        const operator = {
          address: node.address,
          kind: 'data' as const,
          password: node.redis.options.password ?? '',
          ...(node.target.caCert === undefined ? {} : { caCert: node.target.caCert }),
        };
        const place = await placeOf(operator).catch(() => undefined);
        if (place === undefined) return [];
        const info = await node.redis.info('replication').catch(() => '');
        const role = info.includes('role:master') ? ('primary' as const) : ('replica' as const);
        if (role === 'replica' && !info.includes('master_link_status:up')) return [];
        const source = {
          name: `${cluster}-0-${ordinal}`,
          address: node.address,
          role,
          engine: shard.spec.engine,
          version: '0.0.0',
          memoryBytes: 1,
        };
        return [{ role, place, source, operator, target: node.target }];
      }),
    );
    return { slots: '0-16383', nodes: nodes.flat().toSorted((a, b) => (a.role === b.role ? 0 : a.role === 'replica' ? -1 : 1)) };
  };
  const timelines = () => readArchive(store, cluster, 0);
  return {
    cluster,
    ring,
    masterKey,
    hidden,
    start(changes = {}) {
      const ending = new AbortController();
      let last: ShardArchiveProgress | undefined;
      const ended = archiveShard(
        {
          store,
          ring,
          look,
          signal: ending.signal,
          confirm: async () => true,
          report: (progress) => {
            last = progress;
          },
        },
        {
          cluster,
          clusterId: '00000000-0000-4000-8000-000000000000',
          shard: 0,
          mode: shard.spec.mode,
          rpoSeconds: 1,
          patienceMs: 500,
          forMs: 3_600_000,
          ...changes,
        },
      );
      ended.catch(() => undefined);
      return {
        progress: () => last,
        ended,
        async kill() {
          ending.abort(new Error('killed'));
          await ended.catch(() => undefined);
        },
      };
    },
    timelines,
    async caughtUp(node) {
      await node.redis.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
      try {
        const end = await node.offset();
        await until('all is archived', async () => endOf((await timelines()).at(-1)) >= end, 60_000);
        return { held: await contentsOf(node), timeline: (await timelines()).at(-1) };
      } finally {
        await node.redis.call('CLIENT', 'UNPAUSE');
      }
    },
    async replayed(timeline, without) {
      if (timeline === undefined) throw new Error('there is no timeline');
      const { base } = timeline.begin;
      const opening = openStream(store.getStream(base.key), { name: base.key, kekById: ring.byId, id: base.object.id });
      const pieces = piecesFrom(timeline, base.offset).filter((_, index) => index !== without);
      const writes = await buffer(readPieces({ store, ring }, pieces));
      return load(docker, shard.spec, appendOnly(await buffer(opening.bytes), writes));
    },
  };
}

export const endOf = (timeline: Timeline | undefined): number => (timeline === undefined ? -1 : endOfTimeline(timeline).offset);

/** The layout of an append-only directory, as the servers' documentation of persistence has it. */
export const appendOnly = (rdb: Buffer, writes: Buffer): readonly PlacedFile[] => {
  const folder = `${nodePaths.db}/appendonlydir/appendonly.aof`;
  return [
    { path: `${folder}.1.base.rdb`, content: rdb },
    { path: `${folder}.1.incr.aof`, content: writes },
    { path: `${folder}.manifest`, content: 'file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n' },
  ];
};
