import type { RecoverySpan } from '../../config/archive.ts';
import { countSlots, SLOTS } from '../slots.ts';
import { liesOn, recoverShard, type ShardRecovery, type Timeline } from './archive.ts';
import { isMoving } from './moving-slots.ts';
import { rangesOf } from './shard-recovery.ts';
import { areSharded, isAbsent, isIdle, recoveryWindow, type ShardArchive, shardWindow } from './window.ts';

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
  const moving: number[] = [];
  const sharded = areSharded(archives);
  for (const archive of archives) {
    const { shard, timelines, bases } = archive;
    const recovery = recoverShard(shard, timelines, bases, atMs);
    if (recovery !== undefined) {
      const timeline = timelines.find(({ begin }) => begin.id === recovery.timeline);
      shards.push({ ...recovery, slots: slotsAt(timeline, recovery, atMs) });
      if (timeline !== undefined && isMoving(timeline, atMs)) moving.push(shard);
    } else if (!isAbsent(archive, atMs)) {
      const idle = sharded && isIdle(archive, atMs) ? idleShard(archive, atMs) : undefined;
      if (idle === undefined) missing.push(shard);
      else shards.push(idle);
    }
  }
  const slots = shards.map((shard) => shard.slots);
  const sentinel = slots.every((own) => own === '');
  if (shards.length > 0 && missing.length === 0 && moving.length === 0 && (sentinel || coverage(slots) === 'whole')) return { shards };
  const reason =
    archives.length === 0
      ? 'nothing of it was archived'
      : moving.length > 0
        ? `slots of shard ${moving.join(', ')} were on their way, and nobody can tell where their keys were`
        : missing.length > 0 || shards.length === 0
          ? `the archive of ${missing.length === 0 ? 'its shards' : `shard ${missing.join(', ')}`} does not reach it${whyGap(archives, missing, atMs)}`
          : `slots were being moved: its shards had ${coverage(slots) === 'twice' ? 'some of them twice' : 'not all of them'} then`;
  return { why: `${cluster} cannot be brought back to ${new Date(atMs).toISOString()}: ${reason}. ${reachable(cluster, archives, atMs)}` };
}

/** The reason of the gap that a moment lies in, when it is one that the archive tells. */
function whyGap(archives: readonly ShardArchive[], missing: readonly number[], atMs: number): string {
  const at = new Date(atMs).toISOString();
  const gaps = archives.filter(({ shard }) => missing.includes(shard)).flatMap((archive) => shardWindow(archive).gaps);
  const gap = gaps.find(({ from = '', to = '' }) => from !== '' && from <= at && at <= to);
  return gap === undefined ? '' : `, for between ${gap.from} and ${gap.to} ${gap.why}`;
}

/** A shard without slots begins with what it had once: no key of that is its own. Undefined when nothing of it is there. */
function idleShard({ shard, timelines, bases }: ShardArchive, atMs: number): ShardMoment | undefined {
  // A backup may have been made while nothing was archived: it is on no timeline.
  const placed = bases.flatMap((base) => {
    const timeline = timelines.find((one) => liesOn(one, base.data));
    return timeline === undefined ? [] : [{ timeline: timeline.begin.id, base }];
  });
  const newestFirst = placed.toSorted((a, b) => (a.base.data.startedAt < b.base.data.startedAt ? 1 : -1));
  const found = newestFirst.find(({ base }) => Date.parse(base.data.startedAt) <= atMs) ?? newestFirst.at(-1);
  return found === undefined ? undefined : { shard, ...found, pieces: [], slots: '' };
}

/** The last moment to which all of it can be brought back, ms since 1970; undefined when there is none. */
export function latestOf(cluster: string, archives: readonly ShardArchive[]): number | undefined {
  const { latest } = recoveryWindow(cluster, archives);
  return latest === undefined ? undefined : Date.parse(latest);
}

const MOST_SPANS = 5;

/** To which moments it can be brought back instead: the nearest ones, and all stretches, newest first. */
export function reachable(cluster: string, archives: readonly ShardArchive[], atMs?: number): string {
  const spans = recoveryWindow(cluster, archives).spans.toReversed();
  const lines = spans.slice(0, MOST_SPANS).map(({ from, to }) => `  ${from} to ${to}`);
  const rest = spans.length > MOST_SPANS ? '\n  and earlier ones: holdfast recovery-window' : '';
  return lines.length === 0
    ? `Choose one of its backups: holdfast backup list ${cluster}`
    : `${atMs === undefined ? '' : nearest(spans, new Date(atMs).toISOString())}It can be brought back to\n${lines.join('\n')}${rest}\nor to one of its backups: holdfast backup list ${cluster}`;
}

/** @param spans newest first */
function nearest(spans: readonly RecoverySpan[], at: string): string {
  const before = spans.find(({ to }) => to < at)?.to;
  const after = spans.findLast(({ from }) => from > at)?.from;
  if (before === undefined || after === undefined) return '';
  return `The nearest moments are ${before} before it, and ${after} after it. `;
}

/**
 * The slots of a shard at a moment, as far as was seen. Where in the stream that was does not count: a shard to which nobody writes loses slots without
 * a byte in it, and its base may have been made meanwhile.
 */
function slotsAt(timeline: Timeline | undefined, { base }: Pick<ShardRecovery, 'base'>, atMs: number): string {
  const seen = timeline?.slots ?? [];
  return (seen.findLast(({ ms }) => ms <= atMs) ?? seen[0])?.slots ?? base.data.slots;
}

function coverage(slots: readonly string[]): 'whole' | 'twice' | 'lacking' {
  const owned = slots.flatMap(rangesOf).toSorted((a, b) => a[0] - b[0]);
  if (owned.some(([from], at) => from <= (owned[at - 1]?.[1] ?? -1))) return 'twice';
  return countSlots(owned) === SLOTS ? 'whole' : 'lacking';
}
