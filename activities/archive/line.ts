import type { TimelineBegin } from '../../config/archive.ts';
import { backupKeys } from '../../config/names.ts';
import { endOfTimeline, type Timeline } from '../../model/recovery/archive.ts';
import type { StreamStore } from '../storage/object-store.ts';
import type { SlotState } from './clock-keeper.ts';
import { putFact } from './facts.ts';
import { readArchive } from './read-archive.ts';
import { type ArchiveReading, openSegment } from './segment.ts';

/** A timeline that is being added to. */
export interface Line {
  readonly id: string;
  /** Where it begins: its base's offset, or for one that has none yet the first that was followed. */
  readonly earliest: number;
  /** Everything up to here is stored. */
  offset: number;
  replid: string;
  /** The database that is selected there. */
  db: number | undefined;
  /** The last stamp that is stored. */
  lastMs: number;
  /** As written down last. */
  slots: SlotState;
  /** Until then somebody has looked at the slots, and would have written down others. ms since 1970. */
  readonly slotsKnownMs: number;
  /** It has a base. */
  begun: boolean;
}

/** Whose archive it is. */
export interface ArchivedShard {
  readonly cluster: string;
  readonly clusterId: string;
  readonly shard: number;
}

/** Whoever stored a write has looked at the slots less than so long before. */
export const UNSEEN_MS = 10_000;

/** Why one timeline ends and the next begins, and what of the first is true. */
export interface Break {
  readonly because: Exclude<TimelineBegin['because'], 'first'>;
  /** What was archived beyond is not part of the shard's writes. */
  readonly upTo: number;
}

/** Another attempt does the work of this one. Nobody reads this error. */
export class Superseded extends Error {}

/** The timeline that goes on, by what lies in the bucket; undefined when another one must be begun `after` the newest that there is, with why that one ended. */
export async function lastLine(
  reading: ArchiveReading & { readonly store: StreamStore },
  { cluster, clusterId, shard }: ArchivedShard,
): Promise<{ readonly line?: Line; readonly because: TimelineBegin['because']; readonly after?: string }> {
  const last = (await readArchive(reading.store, cluster, shard)).at(-1);
  if (last === undefined) return { because: 'first' };
  const after = last.begin.id;
  if (last.begin.clusterId !== clusterId) return { because: 'first', after };
  if (last.end === undefined) return { line: await lineOf(reading, last), because: 'gap', after };
  const { because } = last.end;
  return { because: because === 'gap' || because === 'diverged' || because === 'new-primary' ? because : 'first', after };
}

async function lineOf(reading: ArchiveReading, timeline: Timeline): Promise<Line> {
  const { base, id } = timeline.begin;
  const { offset, last } = endOfTimeline(timeline);
  const lastMs = last?.lastMs ?? Date.parse(base.startedAt);
  const { slots = '', open = false } = timeline.slots.at(-1) ?? {};
  return {
    id,
    earliest: base.offset,
    offset,
    replid: timeline.replids.findLast((reign) => reign.offset <= offset)?.replid ?? base.replid,
    // After a failover the server tells the database anew.
    db: last !== undefined && last.to === last.endOffset ? await endDbOf(reading, last) : undefined,
    lastMs,
    slots: { slots, open },
    slotsKnownMs: lastMs - UNSEEN_MS,
    begun: true,
  };
}

async function endDbOf(reading: ArchiveReading, name: Parameters<typeof openSegment>[1]): Promise<number | undefined> {
  const segment = openSegment(reading, name);
  for await (const _ of segment.bytes) break; // its header is what is wanted
  return segment.about().endDb;
}

/**
 * The timeline ends, for everybody to see. One that never had a base is no timeline: nothing of it stays.
 * @throws Superseded when somebody has added to it, or begun another one
 */
export async function endLine(
  reading: ArchiveReading & { readonly store: StreamStore },
  whose: ArchivedShard,
  line: Line,
  { because, upTo }: Break,
  next: string,
): Promise<void> {
  const { cluster, shard } = whose;
  if (!line.begun) return discardLine(reading.store, whose, line.id);
  const { line: there } = await lastLine(reading, whose);
  if (there?.id !== line.id || there.offset > line.offset) throw new Superseded('somebody else archives this shard');
  const offset = Math.min(upTo, line.offset);
  await putFact(reading.store, { cluster, shard, timeline: line.id, kind: 'end', offset }, { because, next });
}

/** Nothing of a timeline is in the bucket. */
export async function discardLine(store: StreamStore, { cluster, shard }: Omit<ArchivedShard, 'clusterId'>, id: string): Promise<void> {
  const prefix = backupKeys.timeline(cluster, shard, id);
  for (const upload of await store.listUploads(prefix)) await store.abortUpload(upload);
  for (const key of await store.list(prefix)) await store.remove(key);
}

/** Nothing is left of timelines that came to no base before this one was begun: whoever began them is gone. */
export async function discardUnbegun(store: StreamStore, whose: Omit<ArchivedShard, 'clusterId'>, before: string): Promise<void> {
  const prefix = backupKeys.timelines(whose.cluster, whose.shard);
  const keys = [...(await store.list(prefix)), ...(await store.listUploads(prefix)).map(({ key }) => key)];
  const idOf = (key: string) => key.slice(prefix.length).split('/')[0] ?? '';
  const begun = new Set(keys.filter((key) => key.endsWith('/begin.json')).map(idOf));
  for (const id of new Set(keys.map(idOf))) if (id < before && !begun.has(id)) await discardLine(store, whose, id);
}
