import { setTimeout as sleep } from 'node:timers/promises';
import { failures } from '../../config/failures.ts';
import type { SlotRange } from '../../model/slots.ts';
import { type Reply, ServerError } from '../redis/protocol.ts';
import type { Wire } from '../redis/wire.ts';
import { fatal } from '../support/failure.ts';

/** Which command set a server has for moving slots by itself. */
export type NativeCommands = 'valkey' | 'redis';

/** How a server's own move of a group of slots ended. */
export type NativeEnd =
  | { readonly end: 'done' }
  | { readonly end: 'cancelled' }
  /** It did not take the job at all; nothing happened. What only shows once it has, such as a destination that does not answer, is a failure. */
  | { readonly end: 'refused'; readonly why: string }
  /** It began and gave up; atomic, so nothing has moved. */
  | { readonly end: 'failed'; readonly why: string };

export interface NativeJob {
  readonly source: { readonly wire: Wire; readonly nodeId: string };
  readonly destination: { readonly wire: Wire; readonly nodeId: string };
  readonly ranges: readonly SlotRange[];
}

/** Jobs of the servers that lanes of one move ask for. */
export interface NativeJobs {
  /** Lanes that ask a server now, or wait for the end of what it has taken. */
  running: number;
  /** A server has taken a job. */
  taken: boolean;
}

const POLL_MS = 50;

/** Asks a server which commands it has. */
export async function findNativeCommands(wire: Wire): Promise<NativeCommands | undefined> {
  const reply = await wire.one('COMMAND', 'INFO', 'CLUSTER|MIGRATESLOTS', 'CLUSTER|MIGRATION');
  const [valkey, redis] = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  return isKnown(valkey) ? 'valkey' : isKnown(redis) ? 'redis' : undefined;
}

const isKnown = (info: Reply | undefined): boolean => Array.isArray(info) && info.length > 0;

/**
 * Lets the servers move a group of slots, and waits for the end.
 * @param stop asked while it runs; then the job is cancelled, which moves nothing
 * @param jobs one more runs meanwhile
 */
export async function moveNatively(commands: NativeCommands, job: NativeJob, stop: () => boolean, jobs: NativeJobs): Promise<NativeEnd> {
  jobs.running++;
  try {
    const begun = await (commands === 'valkey' ? beginByValkey(job) : beginByRedis(job));
    if (typeof begun !== 'function') return begun;
    jobs.taken = true;
    return await begun(stop);
  } finally {
    jobs.running--;
  }
}

/** Waits for the end of a job that a server has taken. */
type Taken = (stop: () => boolean) => Promise<NativeEnd>;

const flat = (ranges: readonly SlotRange[]) => ranges.flat();

/** Valkey from 9.0: the source is asked. https://valkey.io/commands/cluster-migrateslots */
async function beginByValkey({ source, destination, ranges }: NativeJob): Promise<Taken | NativeEnd> {
  const { wire } = source;
  const before = new Set((await valkeyJobs(wire)).map(({ name }) => name));
  const [reply] = await wire.ask([['CLUSTER', 'MIGRATESLOTS', 'SLOTSRANGE', ...flat(ranges), 'NODE', destination.nodeId]]);
  if (reply instanceof ServerError) return { end: 'refused', why: reply.message };
  return (stop) => awaitValkey(wire, before, stop);
}

async function awaitValkey(wire: Wire, before: ReadonlySet<string>, stop: () => boolean): Promise<NativeEnd> {
  for (let cancelled = false; ; ) {
    const job = (await valkeyJobs(wire)).find(({ name, operation }) => operation === 'EXPORT' && !before.has(name));
    if (job === undefined) return { end: 'failed', why: 'the server does not know the job any more' };
    if (job.state === 'success') return { end: 'done' };
    if (job.state === 'cancelled') return { end: 'cancelled' };
    if (job.state === 'failed') return { end: 'failed', why: job.message };
    if (stop() && !cancelled) {
      cancelled = true;
      await wire.ask([['CLUSTER', 'CANCELSLOTMIGRATIONS']]); // it may have ended in this moment: the state tells
    }
    await sleep(POLL_MS);
  }
}

interface ValkeyJob {
  readonly name: string;
  readonly operation: string;
  readonly state: string;
  readonly message: string;
}

/** Jobs that run or have ended lately. */
export async function valkeyJobs(wire: Wire): Promise<readonly ValkeyJob[]> {
  const reply = await wire.one('CLUSTER', 'GETSLOTMIGRATIONS');
  const jobs = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  return jobs.map((job) => {
    const fields = fieldsOf(job);
    return {
      name: fields.get('name') ?? '',
      operation: fields.get('operation') ?? '',
      state: fields.get('state') ?? '',
      message: fields.get('message') ?? '',
    };
  });
}

/** Waits until no job of an earlier driver runs on a server; one that nobody waits for any more goes on by itself. */
export async function awaitNoJobs(commands: NativeCommands, wire: Wire, stop: () => boolean): Promise<{ readonly waited: boolean }> {
  for (let waited = false; ; waited = true) {
    const busy =
      commands === 'valkey'
        ? (await valkeyJobs(wire)).some(({ state }) => !['success', 'failed', 'cancelled'].includes(state))
        : (await redisTasks(wire)).some((fields) => !['completed', 'canceled', 'failed'].includes(fields.get('state') ?? ''));
    if (!busy) return { waited };
    if (stop()) await wire.ask([commands === 'valkey' ? ['CLUSTER', 'CANCELSLOTMIGRATIONS'] : ['CLUSTER', 'MIGRATION', 'CANCEL', 'ALL']]);
    await sleep(POLL_MS);
  }
}

/** Redis from 8.4: the destination is asked. https://redis.io/docs/latest/commands/cluster-migration */
async function beginByRedis({ destination, ranges }: NativeJob): Promise<Taken | NativeEnd> {
  const { wire } = destination;
  const [reply] = await wire.ask([['CLUSTER', 'MIGRATION', 'IMPORT', ...flat(ranges)]]);
  if (reply instanceof ServerError) return { end: 'refused', why: reply.message };
  return (stop) => awaitRedis(wire, text(reply), stop);
}

async function awaitRedis(wire: Wire, id: string, stop: () => boolean): Promise<NativeEnd> {
  for (let cancelled = false; ; ) {
    const [task] = await redisTasks(wire, id);
    if (task === undefined) return { end: 'failed', why: 'the server does not know the task any more' };
    const state = task.get('state') ?? '';
    if (state === 'completed') return { end: 'done' };
    if (state === 'canceled') return { end: 'cancelled' };
    // A failed task is tried again by the server itself, until it is cancelled.
    if (state === 'failed' && !cancelled) {
      await wire.ask([['CLUSTER', 'MIGRATION', 'CANCEL', 'ID', id]]);
      return { end: 'failed', why: task.get('last_error') ?? 'no reason given' };
    }
    if (stop() && !cancelled) {
      cancelled = true;
      await wire.ask([['CLUSTER', 'MIGRATION', 'CANCEL', 'ID', id]]);
    }
    await sleep(POLL_MS);
  }
}

async function redisTasks(wire: Wire, id?: string): Promise<readonly ReadonlyMap<string, string>[]> {
  const reply = await wire.one('CLUSTER', 'MIGRATION', 'STATUS', ...(id === undefined ? ['ALL'] : ['ID', id]));
  return (Array.isArray(reply) ? (reply as readonly Reply[]) : []).map(fieldsOf);
}

/** A flat list of names and values. */
function fieldsOf(list: Reply): ReadonlyMap<string, string> {
  const items = Array.isArray(list) ? (list as readonly Reply[]) : [];
  const fields = new Map<string, string>();
  for (let i = 0; i + 1 < items.length; i += 2) fields.set(text(items[i]), text(items[i + 1]));
  return fields;
}

const text = (reply: Reply | undefined): string => (Buffer.isBuffer(reply) ? reply.toString() : String(reply ?? ''));

/** A group that the servers gave up too often. */
export const nativeFailed = (cluster: string, why: string) =>
  fatal(
    failures.migrationFailed,
    `the servers gave up moving slots by themselves: ${why}. Nothing of that group has moved, no slot is open. Next: the same operation with strategy "pipelined" (--strategy pipelined), or look at docker logs of ${cluster}'s nodes`,
  );
