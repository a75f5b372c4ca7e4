import { MOST_UNSTAMPED_MS } from '../../model/recovery/archive.ts';
import { CommandScanner } from '../replication/command-scanner.ts';
import type { Stretch } from '../replication/stretch.ts';

/**
 * A stretch, cut right after each stamp that no other one follows soon: what was written while nobody told the time lies in a segment that begins there, so the names of segments tell of it.
 * The first part is empty when the silence began before the stretch.
 * @param lastMs the last stamp before it
 */
export function splitAtSilence(stretch: Stretch, lastMs: number): readonly Stretch[] {
  const { startOffset, endOffset, bytes, stamps } = stretch;
  let last = { offset: startOffset, timeMs: lastMs };
  const cuts: number[] = [];
  for (const stamp of stamps) {
    if (stamp.timeMs - last.timeMs > MOST_UNSTAMPED_MS) cuts.push(last.offset);
    if (stamp.timeMs >= last.timeMs) last = stamp;
  }
  if (cuts.length === 0) return [stretch];
  let db = stretch.startDb;
  return [startOffset, ...cuts].map((from, at) => {
    const to = cuts[at] ?? endOffset;
    const part = bytes.subarray(from - startOffset, to - startOffset);
    const startDb = db;
    db = new CommandScanner(from, startDb).scan(part).db;
    const its = stamps.filter(({ offset }) => offset > from && offset <= to);
    return { startOffset: from, endOffset: to, bytes: part, startDb, endDb: to === endOffset ? stretch.endDb : db, stamps: its };
  });
}
