import type { ShardBackup } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import type { BackupSource } from '../../model/backup-source.ts';
import type { FullSync } from '../replication/handshake.ts';
import { createRdbPreludeReader } from '../replication/rdb-prelude.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { fatal, passing } from '../support/failure.ts';
import { aboutShard, type PartOf } from './about-shard.ts';
import type { KeyEncryptionKey } from './key-ring.ts';
import { sealStream } from './seal.ts';

/** An RDB that a node has begun to send, and where it goes. */
export interface RdbToStore {
  readonly synced: FullSync;
  readonly source: BackupSource;
  readonly shard: number;
  readonly slots: string;
  /** Key in the bucket. */
  readonly key: string;
  /** What it is part of; the object says so itself. */
  readonly partOf: PartOf;
  readonly kek: KeyEncryptionKey;
  readonly signal: AbortSignal;
  /** Whether it is read again before it counts (`PutStreamOptions`). */
  readonly readBack: boolean;
  /** When the server was asked: what was written before is in it. */
  readonly startedAt: Date;
  /** Told how many bytes have come. */
  readonly progress: (bytes: number) => void;
}

/**
 * How long the store may take nothing while the server waits for us: its child process holds a copy of all that is written meanwhile. The server itself
 * gives up after `repl-timeout`, 60 s.
 */
const STALL_MS = 45_000;
const MIB = 1024 ** 2;
const [LEAST_PART, MOST_PART] = [5 * MIB, 64 * MIB];
/**
 * S3 takes 10,000. versitygw writes the sizes of all parts into one attribute of the object's file, and ext4 has 4 KiB for those: 700 parts go in, with 820 it fails when the object is complete (docs/decisions/0008).
 */
const PARTS = 600;

/** Large enough for so many parts, of what takes no more room than in memory; small enough that several shards fit into ours. */
export const partBytesFor = ({ memoryBytes }: Pick<BackupSource, 'memoryBytes'>): number =>
  Math.min(MOST_PART, Math.max(LEAST_PART, Math.ceil(memoryBytes / PARTS / MIB) * MIB));

/** The RDB lies in the bucket, sealed. Read as fast as the store takes it, through memory only; the connection is closed. @throws StoreUnreachable, ReplicationLost */
export async function storeRdb(store: StreamStore, to: RdbToStore): Promise<ShardBackup> {
  const { synced, source, shard, slots, key, kek, startedAt } = to;
  const { replid, offset, rdb, link } = synced;
  const stalled = new AbortController();
  const late = () =>
    stalled.abort(
      passing(
        failures.storeUnreachable,
        `the object store took nothing for ${STALL_MS / 1000} s, so ${source.name} was not kept waiting: is the store slow, or away? holdfast doctor`,
      ),
    );
  const prelude = createRdbPreludeReader();
  const seen = async function* () {
    for await (const part of rdb) {
      prelude.add(part);
      to.progress(rdb.bytes);
      const timer = setTimeout(late, STALL_MS);
      try {
        yield part;
      } finally {
        clearTimeout(timer);
      }
    }
  };
  try {
    const about = aboutShard(to.partOf, { shard, replid, offset, slots });
    const sealing = sealStream(seen(), { kek, content: 'rdb', about });
    await store.putStream(key, sealing.bytes, {
      signal: AbortSignal.any([to.signal, stalled.signal]),
      partBytes: partBytesFor(source),
      readBack: to.readBack,
    });
    const found = prelude.result();
    if (found === undefined) {
      await store.remove(key);
      throw fatal(
        failures.formatNotSupported,
        `the RDB of ${source.name} begins with something that this version of Holdfast does not know, so its keys cannot be counted: use a later one`,
      );
    }
    return {
      shard,
      key,
      object: sealing.facts(),
      replid,
      offset,
      slots,
      node: source.name,
      server: { engine: source.engine, version: source.version },
      ...found,
      startedAt: startedAt.toISOString(),
      tookMs: Date.now() - startedAt.getTime(),
    };
  } finally {
    link.close();
  }
}
