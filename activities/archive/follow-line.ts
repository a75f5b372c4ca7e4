import { goOn } from '../../model/recovery/going-on.ts';
import type { Continued } from '../replication/handshake.ts';
import { ReplicationLost } from '../replication/link.ts';
import type { ArchiveDeps, ArchiveOptions } from './archive-deps.ts';
import { putFact } from './facts.ts';
import type { Line } from './line.ts';
import { pump } from './pump.ts';
import { createSegmentUploads } from './segment-uploads.ts';
import type { ShardBoard } from './shard-board.ts';
import type { ShardNode } from './shard-now.ts';
import { afterWriting, changedSince } from './slots-seen.ts';

/** While a primary is followed, so often a replica is looked for. */
const BETTER_EVERY_MS = 30_000;

/** Adds to a line what a node sends, until the connection ends; all that came is stored when it returns. */
export async function followLine(
  deps: ArchiveDeps,
  { cluster, shard, rpoSeconds }: ArchiveOptions,
  board: ShardBoard,
  line: Line,
  { node, synced }: { readonly node: ShardNode; readonly synced: Continued },
): Promise<void> {
  const { store, ring, look, signal } = deps;
  let noting = false;
  const noteSlots = () => {
    const now = board.slots;
    if (noting || now === undefined) return;
    const { slots, open, offset, ms } = now;
    const since = changedSince(now, line.slots, line.slotsKnownMs);
    if (since === undefined) {
      board.slots = undefined;
      return;
    }
    noting = true;
    putFact(store, { cluster, shard, timeline: line.id, kind: 'slots', offset }, { slots, open, at: ms, since })
      .then(() => {
        line.slots = { slots, open };
        board.slots = afterWriting(board.slots, now);
      }, board.trouble) // with the next segment again
      .finally(() => {
        noting = false;
      });
  };
  const uploads = createSegmentUploads({
    store,
    ring,
    signal,
    onStored({ endOffset, endDb, lastMs }) {
      [line.offset, line.db, line.lastMs] = [endOffset, endDb, lastMs];
      noteSlots();
    },
  });
  [board.uploads, board.node] = [uploads, node.source.name];
  board.calm();
  const better = setInterval(() => {
    if (node.role === 'replica') return;
    look().then(({ nodes }) => {
      const next = goOn(line, nodes, true);
      if (next.how === 'follow') synced.link.close(); // a replica can be followed again
    }, board.trouble);
  }, BETTER_EVERY_MS);
  try {
    await pump({
      synced,
      uploads,
      place: { cluster, shard, timeline: line.id, replid: line.replid },
      afterMs: line.lastMs,
      rpoSeconds,
      clock: board.clock,
      mayGoOn: board.mayGoOn,
    });
  } catch (error) {
    if (!(error instanceof ReplicationLost)) throw error;
    board.trouble(error);
  } finally {
    clearInterval(better);
    board.node = undefined;
  }
  await uploads.settled();
  board.uploads = undefined;
}
