import { setTimeout as sleep } from 'node:timers/promises';
import { goOn } from '../../model/recovery/going-on.ts';
import { resumeAt } from '../replication/handshake.ts';
import { ReplicationLost } from '../replication/link.ts';
import { ReplicationNotNow } from '../replication/refusal.ts';
import type { ArchiveDeps, ArchiveOptions } from './archive-deps.ts';
import { beginLine } from './begin-line.ts';
import { keepClock } from './clock-keeper.ts';
import { putFact } from './facts.ts';
import { followLine } from './follow-line.ts';
import { lastLine } from './line.ts';
import { createBoard } from './shard-board.ts';
import type { ShardNow } from './shard-now.ts';
import { afterLook } from './slots-seen.ts';

const PAUSE_MS = 250;
const REPORT_MS = 1000;
const PATIENCE_MS = 20_000;

/**
 * Follows a shard's writes and stores them, until its time is over. Where the archive ends is read from the bucket; from there the writes are asked for again. An attempt that was given up, and
 * goes on beside the next, does no harm: what both store overlaps, and says the same.
 * @throws what only a person can mend; all else is waited for, and told in `report`
 */
export async function archiveShard(deps: ArchiveDeps, options: ArchiveOptions): Promise<void> {
  const { store, look, signal } = deps;
  const { cluster, shard, mode, patienceMs = PATIENCE_MS } = options;
  const endsAt = Date.now() + options.forMs;
  const clock = keepClock({
    mode,
    signal,
    findPrimary: async () => (await look()).nodes.find(({ role }) => role === 'primary')?.operator,
    onSlots: (seen) => {
      board.slots = afterLook(board.slots, seen);
    },
  });
  const board = createBoard(shard, clock, () => Date.now() < endsAt && !signal.aborted);
  const telling = setInterval(() => deps.report(board.progress()), REPORT_MS);
  try {
    const found = await lastLine(deps, options);
    board.line = found.line;
    let newest = found.after;
    let unfollowedSince = Date.now();
    while (board.mayGoOn()) {
      try {
        const patient = mode === 'sentinel' && Date.now() - unfollowedSince < patienceMs;
        if (await step(await look(), patient)) unfollowedSince = Date.now();
        else await sleep(PAUSE_MS, undefined, { signal });
      } catch (error) {
        if (!passes(error)) throw error;
        board.trouble(error);
        await sleep(PAUSE_MS, undefined, { signal });
      }
      board.throwFailure();
    }
    signal.throwIfAborted();

    /** @returns whether something was followed */
    async function step(now: ShardNow, patient: boolean): Promise<boolean> {
      const { line } = board;
      if (line === undefined) return beginLine(deps, options, board, now, { patient, because: found.because, after: newest });
      const next = goOn(line, now.nodes, patient);
      if (next.how === 'wait') return board.wait(next.why);
      if (next.how === 'anew') {
        newest = line.id;
        return beginLine(deps, options, board, now, { patient, because: next.because, after: newest, left: next });
      }
      const synced = await resumeAt(next.node.target, { replid: line.replid, offset: next.from, db: line.db }, { signal });
      try {
        if (synced.how === 'full') return board.wait(`${next.node.source.name} cannot go on after all`);
        if (synced.renamed) {
          // Before the first segment that came under it: without this word that segment belongs to nothing.
          const dropped = next.dropped > 0 ? { dropped: next.dropped } : {};
          const place = { cluster, shard, timeline: line.id, offset: next.from };
          await putFact(store, { ...place, kind: 'replid' }, { replid: synced.replid, ...dropped });
          line.replid = synced.replid;
        }
        line.offset = next.from;
        await followLine(deps, options, board, line, { node: next.node, synced });
        return true;
      } finally {
        synced.link.close();
      }
    }
  } finally {
    clearInterval(telling);
    await Promise.all([clock.stop(), board.base?.stop()]);
  }
}

/** Looking again is all that helps, and is enough. */
const passes = (error: unknown): boolean => error instanceof ReplicationLost || error instanceof ReplicationNotNow;
