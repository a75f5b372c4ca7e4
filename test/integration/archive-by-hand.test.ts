import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { storeRdb } from '../../activities/backup/store-rdb.ts';
import { createEngine } from '../../activities/docker/engine.ts';
import { handshake } from '../../activities/replication/handshake.ts';
import type { StreamStore } from '../../activities/storage/object-store.ts';
import type { ShardBackup } from '../../config/backup.ts';
import { findEngineVersion } from '../../config/engines.ts';
import { backupKeys } from '../../config/names.ts';
import { readSettings } from '../../config/settings.ts';
import type { Timeline } from '../../model/recovery/archive.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { type FolderByHand, folderByHand } from '../support/by-hand.ts';
import { appendOnly, endOf, type LoneArchive } from '../support/lone-archive.ts';
import { type ArchivedShard, dropByFailover, startArchivedShard } from '../support/lone-archived-shard.ts';
import { type Contents, type LoneShard, load, type ShardKind } from '../support/lone-shard.ts';
import { manifestOf } from '../support/manifests.ts';
import { writeMixed } from '../support/mixed-writes.ts';
import { until } from '../support/processes.ts';

/** What the documentation says for the shell, in its order. */
const [functions = '', fromBase = '', fromBackup = '', rest = '', failover = ''] = [
  ...readFileSync(join(checkout, 'docs', 'backup-format.md'), 'utf8').matchAll(/^```bash\n(.*?)^```$/gms),
].map(([, commands = '']) => commands);
const EXAMPLES = { timeline: 'archive/orders/0/20261121T091700Z-89abcdef', backup: 'backups/orders/20261121T091700Z-0123abcd' };

const docker = createEngine(readSettings({}));
const kinds: readonly ShardKind[] = [
  { engine: 'valkey', version: '9.1', mode: 'cluster', tls: true },
  { engine: 'redis', version: '7.0', mode: 'sentinel', tls: false },
];

describe.each(kinds)('by the recipe of the documentation, of a shard of $engine $version in $mode mode', (kind) => {
  let archived: ArchivedShard;
  let shard: LoneShard;
  let store: StreamStore;
  let archive: LoneArchive;
  beforeAll(async () => {
    archived = await startArchivedShard(docker, kind);
    ({ shard, store, archive } = archived);
  });
  afterAll(() => archived?.stop());

  /** A backup of the shard as it is in the middle of its writes, without the operation around it. */
  async function backUp(): Promise<{ readonly id: string; readonly data: ShardBackup }> {
    const { cluster, ring } = archive;
    const { shards, ...manifest } = manifestOf(Date.now(), { cluster });
    const signal = AbortSignal.timeout(60_000);
    const synced = await handshake(shard.replica.target, { rdbOnly: true, signal });
    if (synced.how !== 'full') throw new Error('it went on');
    const data = await storeRdb(store, {
      readBack: false,
      synced,
      source: { name: `${cluster}-0-1`, address: '', role: 'replica', engine: kind.engine, version: '0.0.0', memoryBytes: 1 },
      shard: 0,
      slots: '0-16383',
      key: backupKeys.shard(cluster, manifest.id, 0, '00000000'),
      partOf: { cluster, backup: manifest.id },
      kek: await ring.current(),
      signal,
      startedAt: new Date(),
      progress: () => undefined,
    });
    await store.put(backupKeys.manifest(cluster, manifest.id), JSON.stringify({ ...manifest, shards: [data] }));
    return { id: manifest.id, data };
  }

  /** One whose place is in the middle of a segment: a server may fork just where one ends. */
  async function backUpInside(): ReturnType<typeof backUp> {
    for (;;) {
      const made = await backUp();
      const { offset } = made.data;
      const timeline = await until('it is archived', async () => (await archive.timelines()).find((found) => endOf(found) > offset));
      if (timeline.segments.some(({ startOffset, endOffset }) => startOffset < offset && offset < endOffset)) return made;
    }
  }

  /** A copy of all that lies in the bucket, where the server's own check is on the PATH as it is on a person's machine. */
  async function copied(): Promise<FolderByHand> {
    const { cluster, masterKey } = archive;
    const prefixes = [backupKeys.archives(cluster), backupKeys.backups(cluster), backupKeys.keyCopies(cluster)];
    const folder = await folderByHand(store, (await Promise.all(prefixes.map((prefix) => store.list(prefix)))).flat(), masterKey);
    const { image = '' } = findEngineVersion(kind.engine, kind.version) ?? {};
    const check = `cat > /tmp/rdb && ${kind.engine}-check-rdb /tmp/rdb`;
    writeFileSync(
      join(folder.path, 'redis-check-rdb'),
      `#!/bin/sh\nexec docker run --rm -i --network none --entrypoint sh ${image} -c '${check}' < "$1"\n`,
      { mode: 0o755 },
    );
    return folder;
  }

  /** Runs the commands as they stand there, but for the names. @returns the offset that they come to */
  function follow(folder: FolderByHand, timeline: Timeline, begin: string, backup: string, commands: string): number {
    rmSync(join(folder.path, 'appendonlydir'), { recursive: true, force: true });
    const named = `${functions}${begin}${commands}`
      .replaceAll(EXAMPLES.timeline, `archive/${archive.cluster}/0/${timeline.begin.id}`)
      .replaceAll(EXAMPLES.backup, `backups/${archive.cluster}/${backup}`)
      .replaceAll('keys/orders/', `keys/${archive.cluster}/`);
    expect(named).not.toContain('orders');
    return Number(/offset (\d+)/.exec(folder.run('bash', '-euc', `PATH=$PWD:$PATH\n${named}`).toString())?.[1]);
  }

  const loaded = ({ path }: FolderByHand): Promise<Contents> => {
    const file = (name: string) => readFileSync(join(path, 'appendonlydir', `appendonly.aof.${name}`));
    const [data, list, byTests] = [file('1.base.rdb'), file('manifest'), appendOnly(Buffer.alloc(0), Buffer.alloc(0)).at(-1)];
    expect(list.toString()).toBe(byTests?.content);
    return load(docker, shard.spec, appendOnly(data, file('1.incr.aof')));
  };

  test('the base and the segments give what it held; so does a backup with those that rotation leaves', async () => {
    await writeMixed(shard.primary, 5000, kind.mode);
    const attempt = archive.start();
    await until('it has begun', async () => (await archive.timelines()).length === 1);
    let writing = true;
    const refused = (async () => {
      for (let sum = 0; ; sum += await writeMixed(shard.primary, 1000, kind.mode)) if (!writing) return sum;
    })();
    const segments = async () => (await archive.timelines()).at(-1)?.segments.length ?? 0;
    await until('some segments are stored', async () => (await segments()) >= 2);
    const { id, data } = await backUpInside();
    const before = await segments();
    await until('others follow', async () => (await segments()) > before);
    writing = false;
    expect(await refused).toBe(0);
    const { held, timeline } = await archive.caughtUp(shard.primary);
    await attempt.kill();
    if (timeline === undefined) throw new Error('there is no timeline');
    const { base } = timeline.begin;

    using folder = await copied();
    expect(follow(folder, timeline, fromBase, id, rest)).toBe(endOf(timeline));
    expect(await loaded(folder)).toEqual(held);

    // What a rotation removes once the backup is there to begin with.
    rmSync(join(folder.path, base.key));
    for (const segment of timeline.segments) if (segment.endOffset <= data.offset) rmSync(join(folder.path, backupKeys.segment(segment)));
    const left = timeline.segments.filter(({ endOffset }) => endOffset > data.offset).map(({ startOffset }) => startOffset);
    expect(left.length, 'some are not needed').toBeLessThan(timeline.segments.length);
    expect(Math.min(...left), 'one is cut in the middle').toBeLessThan(data.offset);
    expect(follow(folder, timeline, fromBackup, id, rest)).toBe(endOf(timeline));
    expect(await loaded(folder)).toEqual(held);

    // Without one of them the offset says where it ends.
    const last = timeline.segments.find(({ endOffset }) => endOffset === endOf(timeline));
    rmSync(join(folder.path, last === undefined ? '' : backupKeys.segment(last)));
    expect(follow(folder, timeline, fromBackup, id, rest)).toBeLessThan(endOf(timeline));
  });

  if (kind.mode === 'sentinel')
    test('what a failover dropped is left out, and what came after it is there', async () => {
      const { replica } = shard;
      const { attempt, refused } = await dropByFailover(archived);
      expect(refused).toBe(0);
      expect(await writeMixed(replica, 5000, kind.mode)).toBe(0);
      const { held, timeline } = await archive.caughtUp(replica);
      await attempt.kill();
      if (timeline === undefined) throw new Error('there is no timeline');
      expect(timeline.replids.map(({ dropped = 0 }) => dropped)).toEqual([0, expect.any(Number)]);

      using folder = await copied();
      const call = 'writes "$(field replid)"\n';
      expect(rest.split(call)).toHaveLength(2);
      expect(follow(folder, timeline, fromBase, '', rest.replace(call, failover))).toBe(endOf(timeline));
      expect(await loaded(folder)).toEqual(held);
    });
});
