import { parseInfo } from '../redis/parse.ts';
import type { Crew } from './crew.ts';

/** What takes keys away while slots move, besides the move itself: without it, fewer keys afterwards are lost keys. */
export interface Removals {
  /** What each server, by node id, had counted when the whole move began: the next attempt is to begin with it. */
  readonly baseline: Readonly<Record<string, Counters>>;
  /** Keys that the servers have evicted since the whole move began. */
  evicted(): Promise<number>;
  /**
   * Keys at most that were evicted, have expired or were removed by somebody's command since the whole move began. Infinity when nobody can tell:
   * a server has changed, and forgot, or a command has been called that removes any number of keys.
   */
  others(): Promise<number>;
}

/**
 * How many keys a call of a command can remove, by the name that `INFO commandstats` gives it. Nobody knows what a script, a function or a
 * module's command does; their `_ro` variants (`eval_ro`) cannot write, and remove nothing.
 */
export function removes(command: string): 'none' | 'one' | 'many' {
  if (MANY.has(command) || command.includes('.')) return 'many';
  return ONE.test(command) ? 'one' : 'none';
}

/** MIGRATE is none of them: the move itself calls it. */
const MANY = new Set(['del', 'unlink', 'eval', 'evalsha', 'fcall', 'flushall', 'flushdb', 'swapdb', 'debug', 'cluster|flushslot']);

/** The key that they name, when they take its last element, replace it by nothing, or let it expire in the past. */
const ONE =
  /^(getdel|getex|delifeq|delex|rename|renamenx|move|restore|b?[lr]pop|b?lmpop|lrem|ltrim|b?rpoplpush|b?lmove|spop|srem|smove|s(inter|union|diff)store|sort|b?zpop(min|max)|b?zmpop|zrem.*|z(inter|union|diff|range)store|hdel|hgetdel|hgetex|hsetex|h?p?expire(at)?|bitop|georadius(bymember)?|geosearchstore|vrem)$/;

/** What a server counts that takes keys away. */
export interface Counters {
  readonly evicted: number;
  /** Also fields of hashes: a hash goes with its last one. */
  readonly expired: number;
  /** Calls of commands that take one key away, and of those that may take any number. */
  readonly one: number;
  readonly many: number;
}

/** A server was restarted, and has counted anew: all that it says now counts, and what it said before nobody knows. */
const FORGOTTEN: Counters = { evicted: 0, expired: 0, one: 0, many: -1 };

/**
 * @param countedBefore the `baseline` of the first attempt; without one, or with an empty one, the move begins now. A server that says less than
 * it did then has been restarted: what it says now counts. So it does, all of it, for one that is not in there, a replica that was promoted
 * meanwhile: it may have been at work before this attempt began, and an eviction too many raises no false alarm.
 */
export async function watchRemovals(crew: Crew, countedBefore: Readonly<Record<string, Counters>> = {}): Promise<Removals> {
  const before = await countersOf(crew);
  const first = Object.keys(countedBefore).length === 0;
  const baseline: Readonly<Record<string, Counters>> = first
    ? Object.fromEntries(before)
    : // A server that was restarted may have counted more by the next attempt than it had before.
      Object.fromEntries(
        Object.entries(countedBefore).map(([nodeId, was]) => [nodeId, isLess(before.get(nodeId) ?? was, was) ? FORGOTTEN : was]),
      );
  return {
    baseline,
    async evicted() {
      const now = await countersOf(crew);
      return [...now].reduce((sum, [nodeId, { evicted }]) => {
        const was = baseline[nodeId]?.evicted ?? 0;
        return sum + (evicted < was ? evicted : evicted - was);
      }, 0);
    },
    async others() {
      const now = await countersOf(crew);
      return [...now].reduce((sum, [nodeId, counters]) => sum + removedSince(baseline[nodeId], counters), 0);
    },
  };
}

const isLess = (now: Counters, was: Counters): boolean =>
  now.evicted < was.evicted || now.expired < was.expired || now.one < was.one || now.many < was.many;

function removedSince(was: Counters | undefined, now: Counters): number {
  if (was === undefined || now.many !== was.many) return Number.POSITIVE_INFINITY;
  const more = [now.evicted - was.evicted, now.expired - was.expired, now.one - was.one];
  return more.some((count) => count < 0) ? Number.POSITIVE_INFINITY : more.reduce((sum, count) => sum + count, 0);
}

async function countersOf(crew: Crew): Promise<ReadonlyMap<string, Counters>> {
  const all = await Promise.all(
    crew.primaries().map(async ({ nodeId, wire }) => {
      const [stats, commands] = await wire.ask([
        ['INFO', 'stats'],
        ['INFO', 'commandstats'],
      ]);
      return [nodeId, readCounters(parseInfo(String(stats)), parseInfo(String(commands)))] as const;
    }),
  );
  return new Map(all);
}

function readCounters(stats: ReadonlyMap<string, string>, commands: ReadonlyMap<string, string>): Counters {
  const sum = (names: readonly string[]) => names.reduce((total, name) => total + Number(stats.get(name) ?? 0), 0);
  const calls = (what: 'one' | 'many') =>
    [...commands]
      .filter(([name]) => removes(name.replace(/^cmdstat_/, '')) === what)
      .reduce((total, [, value]) => total + Number(/calls=(\d+)/.exec(value)?.[1] ?? 0), 0);
  return {
    evicted: sum(['evicted_keys']),
    expired: sum(['expired_keys', 'expired_subkeys', 'expired_fields']),
    one: calls('one'),
    many: calls('many'),
  };
}
