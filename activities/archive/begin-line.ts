import { randomBytes } from 'node:crypto';
import { newTimelineId, type TimelineBegin } from '../../config/archive.ts';
import { beginTimeline } from '../replication/begin-timeline.ts';
import type { ArchiveDeps, ArchiveOptions } from './archive-deps.ts';
import { followLine } from './follow-line.ts';
import { type Break, discardUnbegun, endLine, type Line, Superseded, UNSEEN_MS } from './line.ts';
import type { ShardBoard } from './shard-board.ts';
import { type ShardNow, timeOfShard } from './shard-now.ts';
import { storeBase } from './timeline-base.ts';

export interface BeginRequest {
  /** A primary is not read yet where a replica may come. */
  readonly patient: boolean;
  readonly because: TimelineBegin['because'];
  /** The newest timeline that there is. */
  readonly after?: string | undefined;
  /** How the line before it ends, when it is this attempt that ends it. */
  readonly left?: Break;
}

/**
 * Begins a timeline, with a base of its own that is stored while its writes are followed already. Ends the one before.
 * @returns whether anything was followed
 */
export async function beginLine(
  deps: ArchiveDeps,
  options: ArchiveOptions,
  board: ShardBoard,
  { nodes, slots }: ShardNow,
  { patient, because, after, left }: BeginRequest,
): Promise<boolean> {
  const { store, ring, look, signal } = deps;
  const { cluster, clusterId, shard } = options;
  const node = nodes.find(({ role }) => role === 'replica' || !patient);
  if (node === undefined) return board.wait('no node of the shard can be read');
  const startedAt = await timeOfShard(nodes, node);
  const id = newTimelineId(startedAt, randomBytes(4).toString('hex'), after);
  if (!(await deps.confirm())) throw new Superseded('another attempt has taken over');
  await board.base?.stop();
  if (board.line !== undefined && left !== undefined) await endLine(deps, options, board.line, left, id);
  board.line = undefined;

  const { base: synced, stream } = await beginTimeline(node.target, { signal });
  const { offset, replid, db } = stream;
  const lastMs = startedAt.getTime();
  const seen = { slots: { slots, open: false }, slotsKnownMs: lastMs - UNSEEN_MS };
  const line: Line = { id, earliest: offset, offset, replid, db, lastMs, ...seen, begun: false };
  board.line = line;
  const ending = new AbortController();
  const base: NonNullable<ShardBoard['base']> = {
    bytes: 0,
    async stop() {
      ending.abort();
      await storing;
    },
  };
  board.base = base;
  const storing = storeBase(
    {
      store,
      ring,
      look,
      signal: AbortSignal.any([signal, ending.signal]),
      progress: (bytes) => {
        base.bytes = bytes;
      },
      onProblem: board.trouble,
      confirm: deps.confirm,
    },
    { id, cluster, clusterId, shard, because, startOffset: offset, replid: () => line.replid },
    { synced, node, slots, startedAt },
  ).then(
    async () => {
      line.begun = true;
      board.base = undefined;
      await discardUnbegun(store, options, id).catch(board.trouble); // the next one that begins tries again
    },
    (error: unknown) => {
      if (!signal.aborted && !ending.signal.aborted) board.fail(error);
    },
  );
  try {
    await followLine(deps, options, board, line, { node, synced: stream });
  } finally {
    stream.link.close();
  }
  return true;
}
