import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { nameOf, sealSegment } from '../../activities/archive/segment.ts';
import { sealStream } from '../../activities/backup/seal.ts';
import { beginTimeline } from '../../activities/replication/begin-timeline.ts';
import { clockCommand } from '../../activities/replication/clock.ts';
import { followStream } from '../../activities/replication/follow-stream.ts';
import { createRdbPreludeReader } from '../../activities/replication/rdb-prelude.ts';
import type { Stretch } from '../../activities/replication/stretch.ts';
import { ARCHIVE_FORMAT, newTimelineId, type SegmentAbout, timelineBegin } from '../../config/archive.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { backupKeys, systemUsers } from '../../config/names.ts';
import type { Dependencies } from '../../workers/dependencies.ts';

/** A shard to archive: where to follow it, and its primary, as the operator. */
export interface ArchivedPlace {
  readonly shard: number;
  readonly slots: string;
  /** A tag that hashes to one of its slots. */
  readonly tag: string;
  readonly follow: { readonly name: string; readonly address: string };
  readonly primary: Redis;
}

export interface SmallArchive {
  /** Everything up to now lies in the bucket; the following has ended. */
  end(): Promise<readonly Stretch[]>;
}

/** Archives a shard as the format says, with nothing of the archiver's care for failures: what a restore reads. A segment every 200 ms. */
export async function archiveShard({ store, secrets }: Dependencies, spec: ClusterSpec, place: ArchivedPlace): Promise<SmallArchive> {
  const { shard, slots, tag, follow, primary } = place;
  const cluster = spec.name;
  const [held, ring] = await Promise.all([secrets.require(cluster), secrets.keyRing(cluster)]);
  const kek = await ring.current();
  const startedAt = new Date();
  await primary.call('SET', ...(clockCommand(tag).slice(1) as string[]));
  const { base, stream } = await beginTimeline({
    address: follow.address,
    user: systemUsers.replication,
    password: held.system.replication,
    ...(spec.security.tls ? { caCert: held.ca.cert } : {}),
  });
  const timeline = newTimelineId(startedAt, randomBytes(4).toString('hex'));
  const prelude = createRdbPreludeReader();
  const sealing = sealStream(
    (async function* () {
      for await (const part of base.rdb) {
        prelude.add(part);
        yield part;
      }
    })(),
    { kek, content: 'rdb', about: { cluster, shard, timeline } },
  );
  const key = backupKeys.base(cluster, shard, timeline, randomBytes(4).toString('hex'));
  await store.putStream(key, sealing.bytes);
  const found = prelude.result();
  if (found === undefined) throw new Error('no prelude');
  const begin = timelineBegin.parse({
    format: ARCHIVE_FORMAT,
    id: timeline,
    cluster,
    clusterId: held.clusterId,
    shard,
    base: {
      shard,
      key,
      object: sealing.facts(),
      replid: base.replid,
      offset: base.offset,
      slots,
      node: follow.name,
      server: { engine: spec.engine, version: `${spec.version}.0` },
      ...found,
      startedAt: startedAt.toISOString(),
      tookMs: Date.now() - startedAt.getTime(),
    },
    because: 'first',
    began: startedAt.toISOString(),
  });
  await store.put(backupKeys.begin(cluster, shard, timeline), JSON.stringify(begin));

  const stretches: Stretch[] = [];
  let offset = base.offset;
  let lastMs = startedAt.getTime();
  const following = followStream({ ...stream, db: base.rdb.header?.streamDb }, { everyMs: 200 });
  const running = (async () => {
    for await (const stretch of following) {
      stretches.push(stretch);
      const times = stretch.stamps.map(({ timeMs }) => timeMs).filter((ms) => ms >= lastMs);
      const about: SegmentAbout = {
        cluster,
        shard,
        timeline,
        startOffset: stretch.startOffset,
        endOffset: stretch.endOffset,
        firstMs: times[0] ?? lastMs,
        lastMs: times.at(-1) ?? lastMs,
        replid: stream.replid,
        ...(stretch.startDb === undefined ? {} : { startDb: stretch.startDb }),
        ...(stretch.endDb === undefined ? {} : { endDb: stretch.endDb }),
      };
      lastMs = about.lastMs;
      const bytes = (async function* () {
        yield stretch.bytes;
      })();
      await store.putStream(backupKeys.segment(nameOf(about)), sealSegment(about, bytes, kek).bytes);
      offset = stretch.endOffset;
    }
  })().catch((error: unknown) => {
    if (!ended) throw error;
  });
  let ended = false;
  const ticking = (async () => {
    while (!ended) {
      await primary.call('SET', ...(clockCommand(tag).slice(1) as string[]));
      await pause(50);
    }
  })();
  return {
    async end() {
      const info = await primary.info('replication');
      const wanted = Number(/master_repl_offset:(\d+)/.exec(info)?.[1]);
      while (offset < wanted) await pause(20);
      ended = true;
      await ticking;
      stream.link.close();
      await running;
      return stretches;
    },
  };
}
