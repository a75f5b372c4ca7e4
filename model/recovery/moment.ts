import { countSlots, SLOTS } from '../slots.ts';
import { type Base, reachOf, recoverShard, type ShardRecovery, type Timeline } from './archive.ts';
import { rangesOf } from './shard-recovery.ts';

/** What there is of one shard to bring it back from. */
export interface ArchivedShard {
  readonly shard: number;
  readonly timelines: readonly Timeline[];
  readonly bases: readonly Base[];
}

/** What brings each shard back to a moment; or why it cannot be reached. */
export type Found = { readonly recoveries: readonly ShardRecovery[] } | { readonly why: string };

interface Window {
  readonly fromMs: number;
  readonly toMs: number;
}

const windowsOf = ({ timelines, bases }: ArchivedShard): readonly Window[] =>
  timelines.flatMap((timeline) => reachOf(timeline, bases) ?? []).toSorted((a, b) => a.fromMs - b.fromMs);

/** A shard that left the cluster is not missed later. */
const leftBefore = ({ timelines }: ArchivedShard, ms: number): boolean =>
  timelines.length > 0 && timelines.every(({ end, segments }) => end?.because === 'removed' && segments.every(({ lastMs }) => lastMs < ms));

/** The last moment to which every shard that is still there can be brought back. Undefined when one of them cannot be at all. */
export function latestOf(shards: readonly ArchivedShard[]): number | undefined {
  const there = shards.filter((shard) => !leftBefore(shard, Number.POSITIVE_INFINITY));
  const ends = there.map((shard) => windowsOf(shard).at(-1)?.toMs);
  return ends.length === 0 || ends.some((end) => end === undefined) ? undefined : Math.min(...ends.map((end) => end ?? 0));
}

/** Shards that the cluster had at a moment: one that came later, or left before, is none of them. */
export function recoverAll(cluster: string, shards: readonly ArchivedShard[], atMs: number): Found {
  if (shards.length === 0)
    return { why: `nothing of ${cluster} was archived, so only its backups can be restored: holdfast backup list ${cluster}` };
  const tried = shards.map((shard) => ({ shard, recovery: recoverShard(shard.shard, shard.timelines, shard.bases, atMs) }));
  const recoveries = tried.flatMap(({ recovery }) => recovery ?? []);
  const slots = recoveries.map((recovery) => slotsAt(timelineOf(shards, recovery), recovery, atMs));
  const sentinel = slots.every((own) => own === '');
  const missing = tried.filter(({ shard, recovery }) => recovery === undefined && !leftBefore(shard, atMs) && !cameAfter(shard, atMs));
  if (recoveries.length === 0 || missing.length > 0 || (!sentinel && coverage(slots) !== 'whole'))
    return {
      why: whyNot(
        cluster,
        shards,
        missing.map(({ shard }) => shard),
        slots,
        atMs,
      ),
    };
  return { recoveries };
}

const cameAfter = ({ timelines }: ArchivedShard, ms: number): boolean =>
  timelines.every(({ begin }) => begin.because === 'first' && Date.parse(begin.began) > ms);

function whyNot(
  cluster: string,
  shards: readonly ArchivedShard[],
  missing: readonly ArchivedShard[],
  slots: readonly string[],
  atMs: number,
): string {
  const at = `${cluster} cannot be brought back to ${iso(atMs)}`;
  const blamed =
    missing.length > 0 ? missing : shards.filter((shard) => recoverShard(shard.shard, shard.timelines, shard.bases, atMs) === undefined);
  if (blamed.length > 0) {
    const windows = blamed.slice(0, 5).map((shard) => `shard ${shard.shard}: ${spans(windowsOf(shard))}`);
    return `${at}: the archive reaches\n${windows.map((line) => `  ${line}`).join('\n')}\nChoose a moment in these, or a backup: holdfast backup list ${cluster}`;
  }
  const [before, after] = nearestWhole(shards, atMs);
  const moments = [before, after].flatMap((ms) => (ms === undefined ? [] : [iso(ms)]));
  return `${at}: slots were being moved, and the shards had ${coverage(slots) === 'twice' ? 'some of them twice' : 'not all of them'} then. ${moments.length === 0 ? 'Choose another moment' : `They had all of them at ${moments.join(' and at ')}`}`;
}

const iso = (ms: number): string => new Date(ms).toISOString();

const spans = (windows: readonly Window[]): string =>
  windows.length === 0 ? 'no moment yet' : windows.map(({ fromMs, toMs }) => `${iso(fromMs)} to ${iso(toMs)}`).join(', ');

const timelineOf = (shards: readonly ArchivedShard[], { shard, timeline }: ShardRecovery): Timeline | undefined =>
  shards.find((one) => one.shard === shard)?.timelines.find(({ begin }) => begin.id === timeline);

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

/** The last moment before, and the first after, at which the shards had every slot once. */
function nearestWhole(shards: readonly ArchivedShard[], atMs: number): readonly [number | undefined, number | undefined] {
  const changes = shards.flatMap(({ timelines }) => timelines.flatMap(({ slots }) => slots.map(({ ms }) => ms))).toSorted((a, b) => a - b);
  const whole = (ms: number) => {
    const found = shards.flatMap((shard) => {
      const recovery = recoverShard(shard.shard, shard.timelines, shard.bases, ms);
      return recovery === undefined ? [] : [slotsAt(timelineOf(shards, recovery), recovery, ms)];
    });
    return coverage(found) === 'whole';
  };
  const before = changes
    .filter((ms) => ms <= atMs)
    .toReversed()
    .map((ms) => ms - 1)
    .find(whole);
  return [before, changes.filter((ms) => ms > atMs).find(whole)];
}
