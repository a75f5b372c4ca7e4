import { failures } from '../../config/failures.ts';
import { fatal } from '../support/failure.ts';
import type { Synced } from './handshake.ts';
import { ReplicationLost } from './link.ts';
import { type Stretch, StretchBuilder } from './stretch.ts';

/** A stream that is being followed. Can be read once; whoever stops reading closes the connection. */
export interface Following extends AsyncIterable<Stretch> {
  /**
   * Everything up to `offset` is durable. The server is told each second and whenever it asks: it is what WAIT and `min-replicas-to-write` go by.
   * What was acknowledged is never taken back.
   */
  acknowledge(offset: number): void;
}

export interface FollowOptions {
  /** A stretch is handed out this long after its first write came, at the latest. @default 250 */
  readonly everyMs?: number;
  /** A stretch is handed out as soon as it is as large as this, and is larger only by what one read of the socket brings. @default 4 MiB */
  readonly stretchBytes?: number;
  /** A single command or transaction may be larger than a stretch; beyond this it is a failure, before it takes the worker's memory. @default 1 GiB */
  readonly largestBytes?: number;
  /** How long the primary may say nothing, neither writes nor PING: the servers' `repl-timeout`. @default 60,000 */
  readonly silenceMs?: number;
}

const ACK_MS = 1000;

/**
 * Follows a shard's writes after a handshake; after a full synchronization its RDB must have been read. Must be called soon then: the server begins to
 * send when it is first told an offset, and takes a replica for dead that says nothing for its `repl-timeout`.
 * @throws (while it is read) ReplicationLost when the connection ends or is silent, after everything whole was handed out: `resumeAt` goes on from the
 * last stretch; EngineRefused when it is no stream of writes, or a transaction is too large
 */
export function followStream(synced: Synced, options: FollowOptions = {}): Following {
  const { everyMs = 250, stretchBytes = 4 << 20, largestBytes = 1 << 30, silenceMs = 60_000 } = options;
  if (synced.how === 'full' && !synced.rdb.complete) throw new Error('the RDB must be read to its end before its stream is followed');
  const { link } = synced;
  let durable = synced.how === 'continue' ? synced.offset : 0;
  let begun = false;

  const tell = () => link.send('REPLCONF', 'ACK', durable);

  async function* stretches(): AsyncGenerator<Stretch> {
    if (begun) throw new Error('a stream can be read once');
    begun = true;
    const building = new StretchBuilder(synced.offset, synced.how === 'full' ? synced.rdb.header?.streamDb : synced.db);
    let silentMs = 0;
    tell();
    const timer = setInterval(tell, ACK_MS);
    try {
      for (;;) {
        const dueMs = building.sinceMs === undefined ? silenceMs - silentMs : building.sinceMs + everyMs - performance.now();
        if (dueMs <= 0 || building.wholeBytes >= stretchBytes) yield building.take();
        else {
          const before = performance.now();
          const chunk = await link.read(dueMs);
          silentMs = chunk === undefined ? silentMs + performance.now() - before : 0;
          if (chunk !== undefined && building.add(chunk)) tell();
          if (building.openBytes > largestBytes) throw tooLarge(link.address, building.openBytes);
        }
        if (silentMs >= silenceMs) throw silent(link.address, silenceMs);
      }
    } catch (error) {
      if (error instanceof ReplicationLost && building.sinceMs !== undefined) yield building.take();
      throw error;
    } finally {
      clearInterval(timer);
      link.close();
    }
  }
  return {
    [Symbol.asyncIterator]: stretches,
    acknowledge(offset) {
      durable = Math.max(durable, offset);
    },
  };
}

const silent = (address: string, silenceMs: number) =>
  new ReplicationLost(
    `${address} said nothing for ${silenceMs} ms, not even PING: it hangs, or the network between does. Connect again, or to another node of the shard`,
  );

const tooLarge = (address: string, bytes: number) =>
  fatal(
    failures.engineRefused,
    `${address} sends a transaction or command of more than ${bytes} bytes, more than the worker may hold. Next: give the worker more memory and raise largestBytes, or split such transactions`,
  );
