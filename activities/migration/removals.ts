import { parseInfo } from '../redis/parse.ts';
import type { Crew } from './crew.ts';

/** What takes keys away while slots move, besides the move itself: without it, fewer keys afterwards are lost keys. */
export interface Removals {
  /** Keys that the servers have evicted since. */
  evicted(): Promise<number>;
  /** Keys at most that were evicted, have expired or were removed by somebody's command since; Infinity when a server has changed, and forgot. */
  others(): Promise<number>;
}

/** Commands that can make a key disappear, by the name that INFO commandstats gives. */
const REMOVING =
  /^cmdstat_(del|unlink|getdel|getex|rename|renamenx|move|[lrb]*pop|[lr]mpop|lrem|ltrim|rpoplpush|brpoplpush|lmove|blmove|blmpop|spop|srem|smove|s(inter|union|diff)store|sort|zpop(min|max)|bzpop(min|max)|z?mpop|bzmpop|zrem.*|z(inter|union|diff|range)store|hdel|hgetdel|hgetex|h?p?expire(at)?|xtrim|xdel|eval|evalsha|fcall|bitop|geosearchstore)$/;

/** Everything of a flush; nobody can tell how many keys. */
const ALL = /^cmdstat_flush(all|db)$/;

interface Counters {
  readonly evicted: number;
  readonly expired: number;
  readonly removing: number;
  readonly flushes: number;
}

export async function watchRemovals(crew: Crew): Promise<Removals> {
  const before = await countersOf(crew);
  /** @param unknown for a server that was promoted or restarted meanwhile, and counts anew: by what it counts now */
  const delta = async (of: (counters: Counters) => number, unknown: (now: number) => number): Promise<number> => {
    const now = await countersOf(crew);
    let sum = 0;
    for (const [nodeId, counters] of now) {
      const earlier = before.get(nodeId);
      const was = earlier === undefined ? undefined : of(earlier);
      sum += was === undefined || of(counters) < was ? unknown(of(counters)) : of(counters) - was;
    }
    return sum;
  };
  const anything = () => Number.POSITIVE_INFINITY;
  return {
    evicted: () =>
      delta(
        ({ evicted }) => evicted,
        (since) => since,
      ),
    others: async () =>
      (await delta(({ flushes }) => flushes, anything)) > 0
        ? Number.POSITIVE_INFINITY
        : delta(({ evicted, expired, removing }) => evicted + expired + removing, anything),
  };
}

async function countersOf(crew: Crew): Promise<ReadonlyMap<string, Counters>> {
  const all = await Promise.all(
    crew.primaries().map(async ({ nodeId, wire }) => {
      const [stats, commands] = await wire.ask([
        ['INFO', 'stats'],
        ['INFO', 'commandstats'],
      ]);
      const fields = parseInfo(String(stats));
      const calls = [...parseInfo(String(commands))].map(([name, value]) => ({ name, calls: Number(/calls=(\d+)/.exec(value)?.[1] ?? 0) }));
      const sum = (which: RegExp) => calls.filter(({ name }) => which.test(name)).reduce((total, one) => total + one.calls, 0);
      return [
        nodeId,
        {
          evicted: Number(fields.get('evicted_keys') ?? 0),
          expired: Number(fields.get('expired_keys') ?? 0),
          removing: sum(REMOVING),
          flushes: sum(ALL),
        },
      ] as const;
    }),
  );
  return new Map(all);
}
