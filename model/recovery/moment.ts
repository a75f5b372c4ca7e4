import { countSlots, SLOTS } from '../slots.ts';
import { recoverShard, type ShardRecovery, type Timeline } from './archive.ts';
import { rangesOf } from './shard-recovery.ts';
import { isAbsent, recoveryWindow, type ShardArchive } from './window.ts';

/** A shard at a moment: what brings it back, and the slots that it had. */
export interface ShardMoment extends ShardRecovery {
  readonly slots: string;
}

/** What brings each shard back to a moment; or why it cannot be reached. */
export type Found = { readonly shards: readonly ShardMoment[] } | { readonly why: string };

/** Every shard that the cluster had at the moment. One that joined it later, or had left, is none of them. */
export function recoverAll(cluster: string, archives: readonly ShardArchive[], atMs: number): Found {
  const shards: ShardMoment[] = [];
  const missing: number[] = [];
  for (const archive of archives) {
    const { shard, timelines, bases } = archive;
    const recovery = recoverShard(shard, timelines, bases, atMs);
    if (recovery !== undefined) {
      const timeline = timelines.find(({ begin }) => begin.id === recovery.timeline);
      shards.push({ ...recovery, slots: slotsAt(timeline, recovery, atMs) });
    } else if (!isAbsent(archive, atMs)) missing.push(shard);
  }
  const slots = shards.map((shard) => shard.slots);
  const sentinel = slots.every((own) => own === '');
  if (shards.length > 0 && missing.length === 0 && (sentinel || coverage(slots) === 'whole')) return { shards };
  const reason =
    archives.length === 0
      ? 'nothing of it was archived'
      : missing.length > 0 || shards.length === 0
        ? `the archive of ${missing.length === 0 ? 'its shards' : `shard ${missing.join(', ')}`} does not reach it`
        : `slots were being moved: its shards had ${coverage(slots) === 'twice' ? 'some of them twice' : 'not all of them'} then`;
  return { why: `${cluster} cannot be brought back to ${new Date(atMs).toISOString()}: ${reason}. ${reachable(cluster, archives)}` };
}

/** The last moment to which all of it can be brought back, ms since 1970; undefined when there is none. */
export function latestOf(cluster: string, archives: readonly ShardArchive[]): number | undefined {
  const { latest } = recoveryWindow(cluster, archives);
  return latest === undefined ? undefined : Date.parse(latest);
}

const MOST_SPANS = 5;

/** To which moments it can be brought back instead, newest first. */
export function reachable(cluster: string, archives: readonly ShardArchive[]): string {
  const spans = recoveryWindow(cluster, archives).spans.toReversed();
  const lines = spans.slice(0, MOST_SPANS).map(({ from, to }) => `  ${from} to ${to}`);
  const rest = spans.length > MOST_SPANS ? '\n  and earlier ones: holdfast recovery-window' : '';
  return lines.length === 0
    ? `Choose one of its backups: holdfast backup list ${cluster}`
    : `It can be brought back to\n${lines.join('\n')}${rest}\nor to one of its backups: holdfast backup list ${cluster}`;
}

/** The slots of a shard at a moment, as far as was seen: those of its base, or what was seen later and before the moment. */
export function slotsAt(timeline: Timeline | undefined, { base }: Pick<ShardRecovery, 'base'>, atMs: number): string {
  const later = timeline?.slots.filter(({ ms, offset }) => ms <= atMs && offset > base.data.offset) ?? [];
  return later.at(-1)?.slots ?? base.data.slots;
}

function coverage(slots: readonly string[]): 'whole' | 'twice' | 'lacking' {
  const owned = slots.flatMap(rangesOf).toSorted((a, b) => a[0] - b[0]);
  if (owned.some(([from], at) => from <= (owned[at - 1]?.[1] ?? -1))) return 'twice';
  return countSlots(owned) === SLOTS ? 'whole' : 'lacking';
}
