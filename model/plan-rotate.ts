import type { Plan, PlanStep } from '../config/progress.ts';
import type { RotationRow } from '../config/rotation.ts';
import { digest } from './layout.ts';
import type { ArchiveCut } from './recovery/archive-retention.ts';
import type { Orphans } from './recovery/orphans.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out. */
export interface RotationPlan extends Plan {
  readonly backups: readonly RotationRow[];
  /** Ids of the backups that go, oldest first. */
  readonly going: readonly string[];
  readonly cuts: readonly ArchiveCut[];
  readonly orphans: Orphans;
  /** There is a cluster of this name, or anything was ever stored of one. */
  readonly exists: boolean;
}

export const rotateSteps = {
  backups: 'remove backups',
  archive: 'remove what is archived and out of the window',
  orphans: 'remove what nobody owns',
  check: 'look for those that stay',
} as const;

/** So many backups go in one rotation, the oldest: its history stays small, and the next one goes on. */
const MOST_AT_ONCE = 1000;
/** So many names are shown; of the rest a digest, so that the plan stands for each of them. */
const MOST_NAMES = 20;

interface Found {
  readonly cluster: string;
  readonly exists: boolean;
  readonly rows: readonly RotationRow[];
  readonly cuts: readonly ArchiveCut[];
  readonly orphans: Orphans;
}

/** What goes, in steps; what stays needs none. */
export function planRotate({ cluster, exists, rows, cuts, orphans }: Found): RotationPlan {
  const goes = rows.filter(({ stays }) => !stays).toReversed();
  const going = goes.slice(0, MOST_AT_ONCE).map(({ id }) => id);
  const stays = rows.length - goes.length;
  const later = goes.length - going.length;
  const lost = [...orphans.folders, ...orphans.objects, ...orphans.uploads.map(({ key }) => `an upload of ${key}`)];
  const segments = cuts.reduce((sum, cut) => sum + cut.segments, 0);
  const steps: readonly PlanStep[] = [
    ...(going.length === 0
      ? []
      : [
          {
            name: rotateSteps.backups,
            change: `${count(going.length, 'backup')}, the manifest of each first: ${names(going)}`,
            cost: 'they are gone for good',
          },
        ]),
    ...(cuts.length === 0
      ? []
      : [
          {
            name: rotateSteps.archive,
            change: `${count(segments, 'segment')}: ${names(cuts.map(cutText))}`,
            cost: 'they are gone for good',
          },
        ]),
    ...(lost.length === 0 ? [] : [{ name: rotateSteps.orphans, change: names(lost) }]),
    ...(going.length === 0 ? [] : [{ name: rotateSteps.check, change: `${count(stays, 'backup')} must be there` }]),
  ];
  const more = later === 0 ? '' : `; ${later} more go the next time`;
  return {
    summary: `${cluster}: ${count(going.length, 'backup')} of ${rows.length} ${going.length === 1 ? 'goes' : 'go'}, ${stays} ${stays === 1 ? 'stays' : 'stay'}${more}`,
    steps,
    refusals: [],
    backups: rows,
    going,
    cuts,
    orphans,
    exists,
  };
}

function names(all: readonly string[]): string {
  const shown = all.slice(0, MOST_NAMES).join(', ');
  return all.length <= MOST_NAMES ? shown : `${shown} and ${all.length - MOST_NAMES} more (${digest(all.join('\n')).slice(0, 8)})`;
}

const cutText = ({ shard, timeline, before }: ArchiveCut): string =>
  before === undefined ? `all of timeline ${timeline} of shard ${shard}` : `shard ${shard}, timeline ${timeline}, before offset ${before}`;
