import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEngine } from '../../activities/docker/engine.ts';
import { createObjectStore, type StreamStore } from '../../activities/storage/object-store.ts';
import { readSettings } from '../../config/settings.ts';
import { piecesFrom } from '../../model/recovery/archive.ts';
import { type LoneArchive, loneArchive } from '../support/lone-archive.ts';
import { type LoneShard, type ShardKind, startLoneShard } from '../support/lone-shard.ts';
import { writeMixed } from '../support/mixed-writes.ts';
import { type ObjectServer, startObjectServer } from '../support/object-server.ts';
import { until } from '../support/processes.ts';

const docker = createEngine(readSettings({}));
const kinds: readonly ShardKind[] = [
  { engine: 'valkey', version: '9.1', mode: 'cluster', tls: true },
  { engine: 'redis', version: '7.0', mode: 'sentinel', tls: false },
];

describe.each(kinds)('the archive of a shard of $engine $version in $mode mode', (kind) => {
  let shard: LoneShard;
  let server: ObjectServer;
  let store: StreamStore;
  let archive: LoneArchive;
  beforeAll(async () => {
    [shard, server] = await Promise.all([startLoneShard(docker, kind), startObjectServer()]);
    store = createObjectStore(server.settings, { callMs: 2000, stallMs: 3000 });
    await store.ensureBucket();
    archive = loneArchive(docker, shard, store);
  });
  afterAll(async () => {
    store?.close();
    await shard?.stop();
    await server?.stop();
  });

  test('replayed gives what the shard held, also when an attempt died in the middle of it; and not without one of its segments', async () => {
    await writeMixed(shard.primary, 10_000, kind.mode);
    let attempt = archive.start();
    await until('it has begun', async () => (await archive.timelines()).length === 1);
    const writing = writeMixed(shard.primary, 100_000, kind.mode);
    await pause(500);
    await attempt.kill();
    await pause(500);
    attempt = archive.start();
    expect(await writing).toBe(0);
    const held = await archive.caughtUp(shard.primary);
    const [timeline, ...others] = await archive.timelines();
    expect(others).toEqual([]);
    expect(attempt.progress()).toMatchObject({ node: expect.stringMatching(/-0-1$/) });
    await attempt.kill();
    expect(await archive.replayed(timeline)).toEqual(held);
    const pieces = timeline === undefined ? [] : piecesFrom(timeline, timeline.begin.base.offset);
    expect(pieces.length).toBeGreaterThan(2);
    expect((await archive.replayed(timeline, pieces.length >> 1)).digest, 'a gap must show').not.toBe(held.digest);
  });
});
