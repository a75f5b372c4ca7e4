import type { BackupManifest } from '../../config/backup.ts';
import { type Base, liesOn, piecesFrom, type Timeline, usableFromMs } from './archive.ts';

/** What goes of a timeline: all of it, or what was written before an offset. */
export interface ArchiveCut {
  readonly shard: number;
  readonly timeline: string;
  /** Segments that end there or before go; and the timeline's own base, when nothing is left that follows it. Missing: the whole timeline goes. */
  readonly before?: number;
  readonly segments: number;
}

export interface ArchiveRetention {
  readonly cuts: readonly ArchiveCut[];
  /** Backups that the window needs, with the reason. */
  readonly needed: ReadonlyMap<string, string>;
}

export interface WindowRules {
  readonly nowMs: number;
  readonly windowDays: number;
  /** The archive goes on: the newest timeline of each shard may grow, however old its last write is. */
  readonly archiving: boolean;
}

/** So far may the clocks of servers and workers be apart: the window that is kept is so much longer than the one that is promised. */
const CLOCKS_APART_MS = 3_600_000;

/**
 * What of an archive the recovery window does not need. On each timeline that reaches into the window that is everything before the newest base from which all of the window can be
 * reached. A timeline that ended before the window goes as a whole.
 * @param backups those that may be built upon: verified ones
 */
export function retainArchive(timelines: readonly Timeline[], backups: readonly BackupManifest[], rules: WindowRules): ArchiveRetention {
  const windowMs = rules.nowMs - rules.windowDays * 86_400_000 - CLOCKS_APART_MS;
  const cuts: ArchiveCut[] = [];
  const needed = new Map<string, string>();
  for (const line of Map.groupBy(timelines, ({ begin }) => begin.shard).values()) {
    const newest = line
      .map(({ begin }) => begin.id)
      .toSorted()
      .at(-1);
    for (const timeline of line) {
      const { shard, id, began } = timeline.begin;
      const goesOn = rules.archiving && timeline.end === undefined && id === newest;
      const lastMs = timeline.segments.reduce((latest, segment) => Math.max(latest, segment.lastMs), Date.parse(began));
      if (!goesOn && lastMs < windowMs) {
        cuts.push({ shard, timeline: id, segments: timeline.segments.length });
        continue;
      }
      const bases = basesOn(timeline, backups);
      const anchor = bases.filter(({ fromMs }) => fromMs !== undefined && fromMs <= windowMs).at(-1);
      const before = anchor?.data.offset ?? 0;
      const segments = timeline.segments.filter(({ endOffset }) => endOffset <= before).length;
      if (segments > 0) cuts.push({ shard, timeline: id, before, segments });
      for (const base of bases)
        if (base.backup !== undefined && (base === anchor || base.startedMs >= windowMs || (base.fromMs ?? 0) > windowMs))
          needed.set(base.backup, `the recovery window ${base === anchor ? 'begins' : 'goes on'} from it`);
    }
  }
  return { cuts, needed };
}

interface PlacedBase extends Base {
  /** From when it can be used, by the server's clock; undefined while nothing follows it. */
  readonly fromMs: number | undefined;
  readonly startedMs: number;
}

/** The bases on a timeline, by offset. */
function basesOn(timeline: Timeline, backups: readonly BackupManifest[]): readonly PlacedBase[] {
  const { begin } = timeline;
  const all: readonly Base[] = [
    { data: begin.base },
    ...backups
      .filter(({ clusterId }) => clusterId === begin.clusterId)
      .flatMap(({ id, shards }) => shards.filter(({ shard }) => shard === begin.shard).map((data) => ({ backup: id, data }))),
  ];
  return all
    .filter(({ data }) => liesOn(timeline, data))
    .map((base) => ({ ...base, fromMs: fromMsOf(timeline, base), startedMs: Date.parse(base.data.startedAt) }))
    .toSorted((a, b) => a.data.offset - b.data.offset);
}

/** Only the first piece after a base is of interest, and a timeline may have very many. */
function fromMsOf(timeline: Timeline, { data }: Base): number | undefined {
  const segments = timeline.segments.filter(({ startOffset, endOffset }) => startOffset <= data.offset && endOffset > data.offset);
  return usableFromMs(data, piecesFrom({ ...timeline, segments }, data.offset));
}

/** Whether nothing follows a timeline's own base any more, when what goes has gone: then nobody can begin with it. */
export const baseGoes = ({ begin, segments }: Timeline, before: number): boolean =>
  begin.base.offset < before && segments.every(({ startOffset, endOffset }) => endOffset <= before || startOffset > begin.base.offset);
