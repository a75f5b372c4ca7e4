import type { ShardArchiveProgress } from '../../config/archive.ts';
import { messageOf } from '../support/failure.ts';
import type { ClockKeeper } from './clock-keeper.ts';
import type { Line } from './line.ts';
import type { SegmentUploads } from './segment-uploads.ts';
import type { UnwrittenSlots } from './slots-seen.ts';

/** What an attempt to archive a shard knows of itself. */
export interface ShardBoard {
  line: Line | undefined;
  /** The name of the node that is followed now. */
  node: string | undefined;
  uploads: SegmentUploads | undefined;
  /** The base of the line, while it is being stored. */
  base: { bytes: number; stop(): Promise<void> } | undefined;
  /** What was seen of the shard's slots, and is not written down yet. */
  slots: UnwrittenSlots | undefined;
  readonly clock: ClockKeeper;
  /** Something in the background has failed in a way that only a person can mend. */
  fail(error: unknown): void;
  throwFailure(): void;
  mayGoOn(): boolean;
  /** What keeps it from going on. */
  trouble(error: unknown): void;
  /** As `trouble`; nothing was followed. */
  wait(why: string): false;
  /** All is well again. */
  calm(): void;
  progress(): ShardArchiveProgress;
}

export function createBoard(shard: number, clock: ClockKeeper, mayGoOn: () => boolean): ShardBoard {
  let failure: { readonly error: unknown } | undefined;
  let problem: ShardArchiveProgress['problem'];
  let [segments, bytes] = [0, 0];
  let uploads: SegmentUploads | undefined;
  const tell = (why: string) => {
    problem = { why, sinceMs: problem?.sinceMs ?? Date.now() };
  };
  return {
    line: undefined,
    node: undefined,
    base: undefined,
    slots: undefined,
    clock,
    get uploads() {
      return uploads;
    },
    set uploads(next) {
      segments += uploads?.state.segments ?? 0;
      bytes += uploads?.state.bytes ?? 0;
      uploads = next;
    },
    fail(error) {
      failure ??= { error };
    },
    throwFailure() {
      if (failure !== undefined) throw failure.error;
    },
    mayGoOn: () => mayGoOn() && failure === undefined,
    trouble: (error) => tell(messageOf(error)),
    wait(why) {
      tell(why);
      return false;
    },
    calm() {
      problem = undefined;
    },
    progress() {
      const { line, node, base } = this;
      const state = uploads?.state;
      const inTheWay = state?.away ?? problem;
      return {
        shard,
        atMs: Date.now(),
        ...(line === undefined ? {} : { timeline: line.id, archivedToMs: line.lastMs, offset: line.offset }),
        ...(node === undefined ? {} : { node }),
        ...(state?.waitingSinceMs === undefined ? {} : { waitingSinceMs: state.waitingSinceMs }),
        segments: segments + (state?.segments ?? 0),
        bytes: bytes + (state?.bytes ?? 0),
        ...(base === undefined ? {} : { base: base.bytes }),
        ...(inTheWay === undefined ? {} : { problem: inTheWay }),
        ...(clock.problem === undefined ? {} : { clock: clock.problem }),
      };
    },
  };
}
