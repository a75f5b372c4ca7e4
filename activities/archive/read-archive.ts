import type { z } from 'zod';
import { archiveFacts, type FactKind, type TimelineBegin, timelineBegin } from '../../config/archive.ts';
import { failures } from '../../config/failures.ts';
import { backupKeys, type FactName, parseFactKey, parseSegmentKey, type SegmentName } from '../../config/names.ts';
import type { Timeline } from '../../model/recovery/archive.ts';
import { readJson } from '../storage/json.ts';
import type { ObjectStore } from '../storage/object-store.ts';
import { fatal } from '../support/failure.ts';
import { sideBySide } from '../support/side-by-side.ts';

/** Small objects that are read at once. */
const SIDE_BY_SIDE = 16;

type Fact = {
  readonly [K in FactKind]: {
    readonly kind: K;
    readonly offset: number;
    readonly ms: number;
    readonly value: ReturnType<(typeof archiveFacts)[K]['parse']>;
  };
}[FactKind];

/**
 * What of a shard's writes lies in the bucket, oldest timeline first: one listing, and the few small objects that say how timelines begin, change and end. A timeline
 * whose base is not complete is none yet, and left out; and so is one whose beginning came late, when an attempt was given up and its base removed.
 * @throws FormatNotSupported
 */
export async function readArchive(store: ObjectStore, cluster: string, shard: number): Promise<readonly Timeline[]> {
  const keys = await store.list(backupKeys.timelines(cluster, shard));
  const segments = Map.groupBy(
    keys.flatMap((key) => parseSegmentKey(key) ?? []),
    ({ timeline }) => timeline,
  );
  const facts = Map.groupBy(
    keys.flatMap((key) => parseFactKey(key) ?? []),
    ({ timeline }) => timeline,
  );
  const begins = keys.flatMap((key) => /\/([^/]+)\/begin\.json$/.exec(key)?.[1] ?? []).toSorted();
  const found = await sideBySide(begins, SIDE_BY_SIDE, async (id) => {
    const begin = await readBegin(store, cluster, shard, id);
    const known = await sideBySide(facts.get(id) ?? [], SIDE_BY_SIDE, (name) => readFact(store, name));
    // What was listed may have been rotated since: without its beginning it is no timeline.
    return begin === undefined
      ? undefined
      : timelineOf(
          begin,
          known.flatMap((fact) => fact ?? []),
          segments.get(id) ?? [],
        );
  });
  const there = new Set(keys);
  return found.flatMap((timeline) =>
    timeline !== undefined && (there.has(timeline.begin.base.key) || wasCut(timeline)) ? [timeline] : [],
  );
}

/** A rotation removes the base after the writes that follow it. */
const wasCut = ({ begin: { base }, segments }: Timeline): boolean =>
  segments.length > 0 && segments.every(({ startOffset, endOffset }) => startOffset > base.offset || endOffset <= base.offset);

/** The shards of which anything was archived; also of a cluster that is gone. */
export async function archivedShards(store: ObjectStore, cluster: string): Promise<readonly number[]> {
  const prefix = backupKeys.archives(cluster);
  const found = (await store.list(prefix)).flatMap((key) => /^(\d+)\//.exec(key.slice(prefix.length))?.[1] ?? []);
  return [...new Set(found.map(Number))].toSorted((a, b) => a - b);
}

function timelineOf(begin: TimelineBegin, facts: readonly Fact[], segments: readonly SegmentName[]): Timeline {
  const inOrder = facts.toSorted((a, b) => a.offset - b.offset || a.ms - b.ms);
  const { replid, offset, slots, startedAt } = begin.base;
  const replids: Timeline['replids'][number][] = [{ replid, offset }];
  for (const fact of inOrder) {
    if (fact.kind !== 'replid' || fact.offset < offset) continue;
    // Two attempts that saw the same failover: the one further on had all that came before.
    if (replids.at(-1)?.replid === fact.value.replid) replids.pop();
    const { dropped } = fact.value;
    replids.push({ replid: fact.value.replid, offset: fact.offset, ...(dropped === undefined ? {} : { dropped }) });
  }
  const end = inOrder.find((fact) => fact.kind === 'end');
  return {
    begin,
    replids,
    slots: [
      { slots, offset, ms: Date.parse(startedAt) },
      ...inOrder.flatMap((fact) => (fact.kind === 'slots' ? [seenSlots(fact.value, fact)] : [])).toSorted((a, b) => a.ms - b.ms),
    ],
    ...(end?.kind === 'end' ? { end: { offset: end.offset, because: end.value.because } } : {}),
    segments,
  };
}

const seenSlots = (
  { slots, open, at, since }: z.output<(typeof archiveFacts)['slots']>,
  { offset, ms }: { readonly offset: number; readonly ms: number },
): Timeline['slots'][number] => ({ slots, open, offset, ms: at ?? ms, ...(since === undefined ? {} : { sinceMs: since }) });

async function readBegin(store: ObjectStore, cluster: string, shard: number, id: string): Promise<TimelineBegin | undefined> {
  const key = backupKeys.begin(cluster, shard, id);
  const bytes = await store.get(key);
  if (bytes === undefined) return undefined;
  const parsed = timelineBegin.safeParse(readJson(bytes));
  if (parsed.success && parsed.data.id === id && parsed.data.shard === shard && parsed.data.cluster === cluster) return parsed.data;
  throw unreadable(key, parsed.error?.issues[0]?.message ?? 'it is of another timeline');
}

async function readFact(store: ObjectStore, name: FactName): Promise<Fact | undefined> {
  const key = backupKeys.fact(name);
  const { kind, offset, ms } = name;
  if (!isFactKind(kind)) throw unreadable(key, `it is a fact of the kind ${kind}`);
  const bytes = await store.get(key);
  if (bytes === undefined) return undefined;
  const parsed = archiveFacts[kind].safeParse(readJson(bytes));
  if (!parsed.success) throw unreadable(key, parsed.error.issues[0]?.message ?? '');
  return { kind, offset, ms, value: parsed.data } as Fact;
}

const isFactKind = (kind: string): kind is FactKind => kind in archiveFacts;

const unreadable = (key: string, why: string) =>
  fatal(
    failures.formatNotSupported,
    `${key} is nothing that this version of Holdfast can read: ${why}. Put back an intact copy, or use a later version`,
  );
