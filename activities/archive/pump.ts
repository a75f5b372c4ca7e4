import type { SegmentAbout } from '../../config/archive.ts';
import { followStream } from '../replication/follow-stream.ts';
import type { Continued } from '../replication/handshake.ts';
import type { ClockKeeper } from './clock-keeper.ts';
import { createSegmentBuilder } from './segment-builder.ts';
import type { SegmentUploads } from './segment-uploads.ts';
import { splitAtSilence } from './silence.ts';

export interface PumpRequest {
  readonly synced: Continued;
  readonly uploads: SegmentUploads;
  readonly place: Pick<SegmentAbout, 'cluster' | 'shard' | 'timeline' | 'replid'>;
  /** The last stamp before. */
  readonly afterMs: number;
  readonly rpoSeconds: number;
  readonly clock: ClockKeeper;
  readonly mayGoOn: () => boolean;
}

const SEGMENT_BYTES = 8 * 1024 ** 2;
const STRETCH_MS = 100;
/** Of the time in which a write shall be stored: the rest is for sealing and for the store. */
const CUT_AFTER = 0.375;
/** The store takes nothing for so long while memory is full: the connection is given up, and the server's backlog keeps what comes. */
const PATIENCE_MS = 5000;
/** The time is written and does not come back for so long: what is followed is not where the writes go. */
const BLIND_MS = 10_000;
const WATCH_MS = 1000;

/**
 * Cuts a stream into segments and hands them to the uploads, until the connection ends, or it had better be made anew. What is stored is acknowledged, nothing else.
 * @throws ReplicationLost when the connection ends, after everything whole was handed over
 */
export async function pump({ synced, uploads, place, afterMs, rpoSeconds, clock, mayGoOn }: PumpRequest): Promise<void> {
  const following = followStream(synced, { everyMs: STRETCH_MS, stretchBytes: SEGMENT_BYTES / 4 });
  const building = createSegmentBuilder(place, afterMs, STRETCH_MS);
  const cutMs = Math.max(STRETCH_MS, rpoSeconds * 1000 * CUT_AFTER - STRETCH_MS);
  let due: NodeJS.Timeout | undefined;
  let stampedAtMs = Date.now();
  const cut = () => {
    clearTimeout(due);
    due = undefined;
    const segment = building.take();
    if (segment !== undefined) uploads.add(segment);
  };
  const watch = setInterval(() => {
    following.acknowledge(uploads.storedTo ?? synced.offset);
    const blind = clock.writtenAtMs !== undefined && clock.writtenAtMs - stampedAtMs > BLIND_MS;
    if (blind || !mayGoOn()) synced.link.close();
  }, WATCH_MS);
  try {
    for await (const stretch of following) {
      for (const [at, part] of splitAtSilence(stretch, building.lastMs).entries()) {
        if (at > 0) cut();
        if (part.bytes.length > 0) building.add(part);
      }
      if (stretch.stamps.length > 0) stampedAtMs = Date.now();
      if (building.bytes >= SEGMENT_BYTES) cut();
      else due ??= setTimeout(cut, cutMs);
      following.acknowledge(uploads.storedTo ?? synced.offset);
      if (!mayGoOn() || !(await uploads.room(PATIENCE_MS))) return;
    }
  } finally {
    clearInterval(watch);
    cut();
  }
}
