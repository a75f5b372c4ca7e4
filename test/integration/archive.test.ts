import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tendArchive } from '../../activities/archive/tend-archive.ts';
import { createEngine } from '../../activities/docker/engine.ts';
import type { StreamStore } from '../../activities/storage/object-store.ts';
import type { ShardBackup } from '../../config/backup.ts';
import { readSettings } from '../../config/settings.ts';
import { piecesFrom } from '../../model/recovery/archive.ts';
import { shardWindow } from '../../model/recovery/window.ts';
import type { LoneArchive } from '../support/lone-archive.ts';
import { type ArchivedShard, dropByFailover, startArchivedShard } from '../support/lone-archived-shard.ts';
import type { LoneShard, ShardKind, ShardNode } from '../support/lone-shard.ts';
import { writeMixed } from '../support/mixed-writes.ts';
import type { ObjectServer } from '../support/object-server.ts';
import { until } from '../support/processes.ts';

const docker = createEngine(readSettings({}));
const everything = process.env.TEST_ALL === 'true';
const kinds: readonly ShardKind[] = [
  { engine: 'valkey', version: '9.1', mode: 'cluster', tls: true },
  { engine: 'redis', version: '7.0', mode: 'sentinel', tls: false },
  { engine: 'redis', version: '8.0', mode: 'cluster', tls: true },
  { engine: 'valkey', version: '8.1', mode: 'sentinel', tls: true },
];

describe.each(everything ? kinds : kinds.slice(0, 2))('the archive of a shard of $engine $version in $mode mode', (kind) => {
  let archived: ArchivedShard;
  let shard: LoneShard;
  let server: ObjectServer;
  let store: StreamStore;
  let archive: LoneArchive;
  beforeAll(async () => {
    archived = await startArchivedShard(docker, kind, { store: { callMs: 2000, stallMs: 3000 } });
    ({ shard, server, store, archive } = archived);
  });
  afterAll(() => archived?.stop());

  const last = async () => (await archive.timelines()).at(-1);
  /** What is archived is what the shard holds. */
  const alike = async (node: ShardNode) => {
    const { held, timeline } = await archive.caughtUp(node);
    expect(await archive.replayed(timeline)).toEqual(held);
    return held;
  };

  test('replayed gives what the shard held, also when an attempt died in the middle of it; and not without one of its segments', async () => {
    await writeMixed(shard.primary, 10_000, kind.mode);
    let attempt = archive.start();
    await until('it has begun', async () => (await archive.timelines()).length === 1);
    const writing = writeMixed(shard.primary, 60_000, kind.mode);
    await pause(500);
    await attempt.kill();
    await pause(500);
    attempt = archive.start();
    expect(await writing).toBe(0);
    const held = await alike(shard.primary);
    expect(await archive.timelines()).toHaveLength(1);
    // It tells of itself once a second, which all of the above may not have taken.
    await until('it follows the replica', async () => attempt.progress()?.node === `${shard.spec.name}-0-1`);
    await attempt.kill();
    const timeline = await last();
    const sizes = timeline === undefined ? [] : piecesFrom(timeline, timeline.begin.base.offset).map(({ from, to }) => to - from);
    expect(sizes.length).toBeGreaterThan(1); // how many depends on how fast they are written
    const largest = sizes.indexOf(Math.max(...sizes));
    expect((await archive.replayed(timeline, largest)).digest, 'a gap must show').not.toBe(held.digest);
  });

  if (everything || kind.mode === 'cluster')
    test('goes on when the store was away, when its node was started again, and when small segments were put together', async () => {
      const attempt = archive.start();
      await until('it follows', async () => attempt.progress()?.node !== undefined);
      const writing = writeMixed(shard.primary, 60_000, kind.mode);
      server.line.pause();
      server.line.cut();
      await until('that is told', async () => attempt.progress()?.problem?.why.includes('object store'));
      expect(await writing).toBe(0);
      server.line.resume();
      await shard.replica.redis.call('DEBUG', 'RESTART').catch(() => undefined); // it answers nothing
      expect(await writeMixed(shard.primary, 20_000, kind.mode)).toBe(0);
      await until('the replica is back', async () => (await shard.replica.redis.info('replication')).includes('master_link_status:up'));
      await archive.caughtUp(shard.primary);
      await attempt.kill();

      const before = (await last())?.segments.length ?? 0;
      const rules = { olderThanMs: 0, mostBytes: 1 << 26, mostMs: 900_000, least: 2 };
      const deps = { store, ring: archive.ring, signal: new AbortController().signal };
      await tendArchive(deps, archive.cluster, rules);
      await tendArchive(deps, archive.cluster, rules);
      expect((await last())?.segments.length).toBeLessThan(before / 4);
      const again = archive.start();
      await until('it follows', async () => again.progress()?.node !== undefined);
      expect(await writeMixed(shard.primary, 5000, kind.mode)).toBe(0);
      await alike(shard.primary);
      await again.kill();
      expect(await archive.timelines()).toHaveLength(1);
      expect(
        shardWindow({ shard: 0, timelines: await archive.timelines(), bases: [{ data: (await last())?.begin.base as ShardBackup }] }),
      ).toMatchObject({
        spans: [{}],
        gaps: [],
      });
    });

  if (everything || kind.mode === 'cluster')
    test('away for longer than the server keeps writes, begins anew and shows the gap', async () => {
      for (const { redis } of [shard.primary, shard.replica]) await redis.config('SET', 'repl-backlog-size', '16kb');
      expect(await writeMixed(shard.primary, 20_000, kind.mode)).toBe(0);
      for (const { redis } of [shard.primary, shard.replica]) await redis.config('SET', 'repl-backlog-size', '16mb');
      const attempt = archive.start();
      await until('it has begun anew', async () => (await archive.timelines()).length === 2);
      expect(await writeMixed(shard.primary, 5000, kind.mode)).toBe(0);
      await alike(shard.primary);
      await attempt.kill();
      const timelines = await archive.timelines();
      expect(timelines.map(({ begin, end }) => [begin.because, end?.because])).toEqual([
        ['first', 'gap'],
        ['gap', undefined],
      ]);
      const bases = timelines.map(({ begin }) => ({ data: begin.base }));
      expect(shardWindow({ shard: 0, timelines, bases }).gaps).toMatchObject([{ why: expect.stringContaining('repl-backlog-size') }]);
    });

  if (kind.mode === 'sentinel')
    test('goes back to where a failover took over that dropped writes, and holds what the new primary does', async () => {
      const { replica } = shard;
      const { attempt, refused } = await dropByFailover(archived);
      expect(refused).toBe(0);
      expect(await writeMixed(replica, 5000, kind.mode)).toBe(0);
      await alike(replica);
      await attempt.kill();
      const timeline = await last();
      expect(timeline?.end).toBeUndefined();
      expect(timeline?.replids.at(-1)?.dropped).toBeGreaterThan(1000);
    });
});
