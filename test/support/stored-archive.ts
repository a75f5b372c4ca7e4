import { buffer } from 'node:stream/consumers';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { nameOf, readPieces, sealSegment } from '../../activities/archive/segment.ts';
import type { KeyRing } from '../../activities/backup/key-ring.ts';
import { encodeCommand, type Word } from '../../activities/redis/protocol.ts';
import { clockKey } from '../../activities/replication/clock.ts';
import type { StreamStore } from '../../activities/storage/object-store.ts';
import { ARCHIVE_FORMAT, type TimelineBegin, timelineBegin } from '../../config/archive.ts';
import { backupKeys } from '../../config/names.ts';
import { piecesFrom } from '../../model/recovery/archive.ts';
import { CLUSTER_ID, manifestOf, REPLID } from './manifests.ts';

/** A shard's archive in a store: a base, of which nobody reads the bytes, and a segment a second of one write each, between two stamps. */
export interface StoredArchive {
  readonly begin: TimelineBegin;
  /** Replication offsets between segments, the base's first. */
  readonly offsets: readonly number[];
  /** All that is archived from an offset on, as a server would load it. */
  writes(from?: number): Promise<string>;
}

const SHARD = 0;
const SECOND = 1000;

const command = (...words: readonly Word[]): Buffer => Buffer.from(encodeCommand(words));
const stamp = (ms: number): Buffer => command('SET', clockKey('a'), 60_000, 'PXAT', ms + 60_000);

/** @param sinceMs when it begins, ms since 1970; whole seconds */
export async function storeArchive(
  store: StreamStore,
  ring: KeyRing,
  { cluster, sinceMs, segments }: { readonly cluster: string; readonly sinceMs: number; readonly segments: number },
): Promise<StoredArchive> {
  const began = new Date(sinceMs).toISOString();
  const timeline = `${began.replace(/\.\d+|[-:]/g, '')}-00000000`;
  const key = backupKeys.base(cluster, SHARD, timeline, '00000000');
  const [shard] = manifestOf(sinceMs, { cluster, offset: 0 }).shards;
  const begin = timelineBegin.parse({
    format: ARCHIVE_FORMAT,
    id: timeline,
    cluster,
    clusterId: CLUSTER_ID,
    shard: SHARD,
    base: { ...shard, key },
    because: 'first',
    began,
  });
  await store.put(key, 'a base');
  await store.put(backupKeys.begin(cluster, SHARD, timeline), JSON.stringify(begin));
  const offsets = [0];
  for (let number = 0; number < segments; number++) {
    const startOffset = offsets.at(-1) ?? 0;
    const [firstMs, lastMs] = [sinceMs + number * SECOND, sinceMs + (number + 1) * SECOND];
    const write = Buffer.concat([stamp(firstMs), command('SET', `key:${number}`, `value ${number}`), stamp(lastMs)]);
    const place = { cluster, shard: SHARD, timeline, startOffset, endOffset: startOffset + write.length, firstMs, lastMs, replid: REPLID };
    const about = { ...place, startDb: 0, endDb: 0 };
    const bytes = async function* () {
      yield write;
    };
    await store.putStream(backupKeys.segment(nameOf(about)), sealSegment(about, bytes(), await ring.current()).bytes);
    offsets.push(about.endOffset);
  }
  return {
    begin,
    offsets,
    async writes(from = 0) {
      const [found] = await readArchive(store, cluster, SHARD);
      return found === undefined ? '' : (await buffer(readPieces({ store, ring }, piecesFrom(found, from)))).toString();
    },
  };
}
