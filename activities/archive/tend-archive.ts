import { ApplicationFailure } from '@temporalio/common';
import type { ShardArchiveSummary } from '../../config/archive.ts';
import type { BackupManifest } from '../../config/backup.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys } from '../../config/names.ts';
import type { Timeline } from '../../model/recovery/archive.ts';
import { basesOf } from '../../model/recovery/bases.ts';
import { covered, type MergeRules, planMerges } from '../../model/recovery/merge-plan.ts';
import { isRead, type Reading } from '../../model/recovery/readings.ts';
import { shardWindow } from '../../model/recovery/window.ts';
import { type MergeDeps, mergeSegments } from './merge-segments.ts';
import { archivedShards, readArchive } from './read-archive.ts';
import { usableBackups } from './read-recoverable.ts';

const MINUTE = 60_000;
/** What a restore reads to find a moment is a segment at most; a day has some hundred of them then. */
const RULES: Omit<MergeRules, 'nowMs'> = { olderThanMs: 2 * MINUTE, mostBytes: 64 * 1024 ** 2, mostMs: 15 * MINUTE, least: 16 };

/**
 * Puts small segments together. What is in a larger one since the last time goes now: until then somebody may have been reading it; and not while an operation reads that timeline.
 * @returns what there is of each shard
 */
export async function tendArchive(
  deps: MergeDeps,
  cluster: string,
  rules = RULES,
  readings: readonly Reading[] = [],
): Promise<readonly ShardArchiveSummary[]> {
  const summaries: ShardArchiveSummary[] = [];
  const backups = await usableBackups(deps.store, cluster);
  for (const shard of await archivedShards(deps.store, cluster)) {
    const timelines = await readArchive(deps.store, cluster, shard);
    for (const timeline of timelines) {
      const now = { ...rules, nowMs: Date.now() };
      const gone = new Set(isRead(readings, shard, timeline.begin.id) ? [] : covered(timeline, now));
      deps.signal.throwIfAborted();
      await deps.store.removeAll([...gone].map(backupKeys.segment));
      const left: Timeline = { ...timeline, segments: timeline.segments.filter((segment) => !gone.has(segment)) };
      for (const merge of planMerges(left, now)) await mergeSegments(deps, merge).catch(unlessRotated);
    }
    summaries.push(summarize(shard, timelines, backups));
  }
  return summaries;
}

/** What is out of the window may go at any time. */
function unlessRotated(error: unknown): void {
  if (!(error instanceof ApplicationFailure && error.type === failures.objectMissing)) throw error;
}

/** @param backups those that are usable: what a rotation has left of a timeline follows one of them, and its own base no more */
function summarize(shard: number, timelines: readonly Timeline[], backups: readonly BackupManifest[]): ShardArchiveSummary {
  const { spans, gaps } = shardWindow({ shard, timelines, bases: basesOf(shard, timelines, backups) });
  const [from, to] = [spans[0]?.from, spans.at(-1)?.to];
  return {
    shard,
    timelines: timelines.length,
    segments: timelines.reduce((sum, { segments }) => sum + segments.length, 0),
    gaps: gaps.length,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
  };
}
