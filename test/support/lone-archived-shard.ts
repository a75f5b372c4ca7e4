import type Docker from 'dockerode';
import { createObjectStore, type StreamStore } from '../../activities/storage/object-store.ts';
import { type Attempt, type LoneArchive, loneArchive } from './lone-archive.ts';
import { type LoneShard, type ShardKind, startLoneShard } from './lone-shard.ts';
import { writeMixed } from './mixed-writes.ts';
import { type ObjectServer, startObjectServer } from './object-server.ts';
import { until } from './processes.ts';

/** A lone shard, an object store that can be cut off, and the archive of the one in the other. No attempt runs. */
export interface ArchivedShard {
  readonly shard: LoneShard;
  readonly server: ObjectServer;
  readonly store: StreamStore;
  readonly archive: LoneArchive;
  stop(): Promise<void>;
}

interface Options {
  readonly store?: Parameters<typeof createObjectStore>[1];
  /** What stands between the archive and the store. */
  readonly through?: (store: StreamStore) => StreamStore;
}

export async function startArchivedShard(
  docker: Docker,
  kind: ShardKind,
  { store: how, through = (store) => store }: Options = {},
): Promise<ArchivedShard> {
  const [shard, server] = await Promise.all([startLoneShard(docker, kind), startObjectServer()]);
  const store = createObjectStore(server.settings, how);
  const stop = async () => {
    store.close();
    await shard.stop();
    await server.stop();
  };
  try {
    await store.ensureBucket();
    return { shard, server, store, archive: loneArchive(docker, shard, through(store)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * In sentinel mode: the primary is cut off from its replica and still takes writes, which are archived; then the replica leads, and they are gone.
 * @returns the attempt, which has gone back to where the replica took over, and how many of the writes were refused
 */
export async function dropByFailover({ shard, archive }: ArchivedShard): Promise<{ readonly attempt: Attempt; readonly refused: number }> {
  const { primary, replica } = shard;
  archive.hidden.add(replica);
  await replica.redis.call('REPLICAOF', 'NO', 'ONE');
  const attempt = archive.start();
  const refused = await writeMixed(primary, 5000, 'sentinel');
  const end = await primary.offset();
  await until('they are archived', async () => (attempt.progress()?.offset ?? 0) >= end);
  archive.hidden.add(primary);
  archive.hidden.delete(replica);
  await primary.redis.call('REPLICAOF', replica.address, 6379);
  await until('it has become a replica', async () => (await primary.redis.info('replication')).includes('master_link_status:up'));
  archive.hidden.delete(primary);
  await until('it has gone back', async () => (await archive.timelines()).at(-1)?.replids.at(-1)?.dropped !== undefined);
  return { attempt, refused };
}
