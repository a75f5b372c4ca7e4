import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createEngine } from '../../activities/docker/engine.ts';
import { readSettings } from '../../config/settings.ts';
import { startArchivedShard } from '../support/lone-archived-shard.ts';
import { writeMixed } from '../support/mixed-writes.ts';
import { until } from '../support/processes.ts';

const WRITES = 2_000_000;
const PARTS = 40;
/** After which part of the writes what happens. */
const CRASHES = [4, 14, 32];
const [OUTAGE, FAILOVER] = [8, 24];
const OUTAGE_MS = 60_000;

test('two million writes, three crashes, an object store that is away for a minute, and a failover: nothing is missing', async () => {
  const docker = createEngine(readSettings({}));
  const { shard, server, archive, stop } = await startArchivedShard(docker, {
    engine: 'valkey',
    version: '9.1',
    mode: 'cluster',
    tls: true,
  });
  try {
    for (const { redis } of [shard.primary, shard.replica]) await redis.config('SET', 'repl-backlog-size', '256mb');
    let attempt = archive.start({ rpoSeconds: 2 });
    await until('it has begun', async () => (await archive.timelines()).length === 1);
    const startedAt = Date.now();
    let [primary, refused] = [shard.primary, 0];
    let away: Promise<void> | undefined;
    for (let part = 0; part < PARTS; part++) {
      refused += await writeMixed(primary, WRITES / PARTS, 'cluster');
      if (CRASHES.includes(part)) {
        await attempt.kill();
        attempt = archive.start({ rpoSeconds: 2 });
      }
      if (part === OUTAGE) {
        server.line.pause();
        server.line.cut();
        away = pause(OUTAGE_MS).then(() => server.line.resume());
      }
      if (part === FAILOVER) {
        const failing = writeMixed(primary, 20_000, 'cluster');
        await pause(100);
        await shard.replica.redis.call('CLUSTER', 'FAILOVER');
        await until('the replica leads', async () => (await shard.replica.role()) === 'master');
        await failing; // what was refused then was not acknowledged
        primary = shard.replica;
      }
    }
    await away;
    const wroteMs = Date.now() - startedAt;
    const { held, timeline } = await archive.caughtUp(primary);
    const timelines = await archive.timelines();
    const bytes = (await primary.offset()) - (timelines[0]?.begin.base.offset ?? 0);
    process.stdout.write(
      `  ${WRITES} writes in ${Math.round(wroteMs / 1000)} s, ${Math.round(bytes / 1e6)} MB of stream, ${timelines[0]?.segments.length} segments, ${refused} refused; all archived ${Math.round((Date.now() - startedAt - wroteMs) / 1000)} s after the last\n`,
    );
    await attempt.kill();
    expect(timelines).toHaveLength(1);
    expect(timelines[0]?.replids).toHaveLength(2);
    const replayed = await archive.replayed(timeline);
    process.stdout.write(`  ${held.keys} keys, digest ${held.digest}; replayed ${replayed.keys} keys, digest ${replayed.digest}\n`);
    expect(replayed).toEqual(held);
  } finally {
    await stop();
  }
}, 1_800_000);
