import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { openSegment } from '../activities/archive/segment.ts';
import { createEngine } from '../activities/docker/engine.ts';
import { CommandScanner } from '../activities/replication/command-scanner.ts';
import type { StreamStore } from '../activities/storage/object-store.ts';
import { backupKeys, parseSegmentKey } from '../config/names.ts';
import { readSettings } from '../config/settings.ts';
import { endOf, type LoneArchive } from '../test/support/lone-archive.ts';
import { startArchivedShard } from '../test/support/lone-archived-shard.ts';
import type { LoneShard } from '../test/support/lone-shard.ts';
import { until } from '../test/support/processes.ts';
import type { WriterOrder } from './archive-writer.ts';
import { median, table, type Verdict, verdictLine } from './measure.ts';

const MB = 1e6;
const ROUNDS = 3;
/** Of stream for a shard, and from a write to its segment in the bucket. */
const TARGET = { speed: 60, lagMs: 1000 };
const WRITES_A_SECOND = 20_000;

/**
 * How fast the archive of a shard is (catching up with what the server's backlog has, so that the writers take none of its time), what it costs, and how long a write waits at 20,000 writes a
 * second. One shard with a replica, TLS on, the object store on this machine.
 * The archive runs in this process, where a worker would run it: CPU and memory are those of this process, with all that the bench itself has in it.
 */
export async function benchArchive(): Promise<void> {
  const kind = { engine: 'valkey', version: '9.1', mode: 'cluster', tls: true } as const;
  const puts = new Map<string, number>();
  const { shard, store, archive, stop } = await startArchivedShard(createEngine(readSettings({})), kind, {
    through: (store) => noting(store, puts),
  });
  try {
    for (const { redis } of [shard.primary, shard.replica]) await redis.config('SET', 'repl-backlog-size', '400mb');
    const first = archive.start({ rpoSeconds: 2 });
    await until('it has begun', async () => (await archive.timelines()).length === 1);
    await first.kill();
    const rows = [['values', 'MB of stream', 'MB/s', 'CPU ms a MB', 'MiB of this process then']];
    const verdicts: Verdict[] = [];
    for (const bytes of [100, 1000]) {
      const rounds: Awaited<ReturnType<typeof catchUp>>[] = [];
      for (let round = 0; round < ROUNDS; round++) rounds.push(await catchUp(shard, archive, puts, bytes));
      const of = (pick: (round: (typeof rounds)[number]) => number) => median(rounds.map(pick)).toFixed(1);
      const speed = median(rounds.map((round) => round.speed));
      verdicts.push({
        words: `${speed.toFixed(1)} MB/s of stream with values of ${bytes} bytes, target at least ${TARGET.speed}`,
        met: speed >= TARGET.speed,
      });
      rows.push([`${bytes} bytes`, of(({ mb }) => mb), of(({ speed }) => speed), of(({ cpu }) => cpu), of(({ rss }) => rss)]);
    }
    console.log(table(rows));
    const { words, p99, perSecond } = await lag(shard, archive, store, puts);
    console.log(`${words}\n`);
    verdicts.push({
      words: `stored after ${p99} ms at p99, target below ${TARGET.lagMs}, at ${perSecond} of ${WRITES_A_SECOND} writes/s`,
      met: p99 < TARGET.lagMs && perSecond >= WRITES_A_SECOND * 0.95,
    });
    for (const verdict of verdicts) console.log(verdictLine(verdict));
  } finally {
    await stop();
  }
}

interface Lag {
  readonly words: string;
  /** In ms; infinite without a stamp. */
  readonly p99: number;
  /** Writes that were made. */
  readonly perSecond: number;
}

/** The store, with a note of when each object was there. */
const noting = (store: StreamStore, puts: Map<string, number>): StreamStore => ({
  ...store,
  async putStream(key, source, options) {
    const bytes = await store.putStream(key, source, options);
    puts.set(key, Date.now());
    return bytes;
  },
});

async function write(
  { primary }: LoneShard,
  order: Omit<WriterOrder, 'address' | 'user' | 'password' | 'caCert'>,
): Promise<{ readonly perSecond: number }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'archive-writer.ts')], { stdio: ['pipe', 'pipe', 'inherit'] });
  const { address, redis, target } = primary;
  const login = { address, user: redis.options.username ?? '', password: redis.options.password ?? '' };
  child.stdin.end(
    `${JSON.stringify({ ...login, ...(target.caCert === undefined ? {} : { caCert: target.caCert }), ...order } satisfies WriterOrder)}\n`,
  );
  return JSON.parse(await text(child.stdout)) as { perSecond: number };
}

async function catchUp(shard: LoneShard, archive: LoneArchive, puts: Map<string, number>, bytes: number) {
  // As much of either: the second in which the last segment waits for more is to be a small part.
  await write(shard, { bytes, keys: 20_000, count: bytes < 1000 ? 1_800_000 : 240_000 });
  const goal = await shard.primary.offset();
  const from = endOf((await archive.timelines()).at(-1));
  puts.clear();
  const [startedAt, cpu] = [Date.now(), process.cpuUsage()];
  const attempt = archive.start({ rpoSeconds: 2 });
  await until('all is stored', async () => (attempt.progress()?.offset ?? 0) >= goal, 120_000);
  const [tookMs, used] = [Math.max(...puts.values()) - startedAt, process.cpuUsage(cpu)];
  const rss = process.memoryUsage.rss() / 1024 ** 2;
  await attempt.kill();
  if ((await archive.timelines()).length !== 1) throw new Error('the backlog was too small');
  const mb = (goal - from) / MB;
  return { mb, speed: mb / (tookMs / 1000), cpu: (used.user + used.system) / 1000 / mb, rss };
}

/** From the moment that a stamp says to the moment when its segment was in the bucket. */
async function lag(shard: LoneShard, archive: LoneArchive, store: StreamStore, puts: Map<string, number>): Promise<Lag> {
  const attempt = archive.start({ rpoSeconds: 2 });
  await until('it follows', async () => attempt.progress()?.node !== undefined);
  puts.clear();
  const cpu = process.cpuUsage();
  const { perSecond } = await write(shard, { bytes: 100, keys: 20_000, count: 600_000, perSecond: WRITES_A_SECOND });
  const used = process.cpuUsage(cpu);
  await attempt.kill();
  const lags: number[] = [];
  for (const [key, at] of puts) {
    const name = parseSegmentKey(key);
    if (name === undefined || key !== backupKeys.segment(name)) continue;
    const scanner = new CommandScanner(name.startOffset);
    for await (const part of openSegment({ store, ring: archive.ring }, name).bytes)
      for (const { timeMs } of scanner.scan(part).stamps) lags.push(at - timeMs);
  }
  const sorted = lags.toSorted((a, b) => a - b);
  const p = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.POSITIVE_INFINITY;
  const cores = (((used.user + used.system) / 1e6 / 30) * 100).toFixed(0);
  return {
    words: `at ${perSecond} writes/s: ${sorted.length} stamps, stored after p50 ${p(0.5)} ms, p99 ${p(0.99)} ms, at most ${sorted.at(-1)} ms; ${cores} % of a CPU`,
    p99: p(0.99),
    perSecond,
  };
}
