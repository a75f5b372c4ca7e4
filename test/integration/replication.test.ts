import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createEngine } from '../../activities/docker/engine.ts';
import { encodeCommand } from '../../activities/redis/protocol.ts';
import { beginTimeline } from '../../activities/replication/begin-timeline.ts';
import { followStream } from '../../activities/replication/follow-stream.ts';
import { handshake, resumeAt, type Synced } from '../../activities/replication/handshake.ts';
import { ReplicationLost } from '../../activities/replication/link.ts';
import { ReplicationNotNow } from '../../activities/replication/refusal.ts';
import { cutByTime } from '../../activities/replication/stream-time.ts';
import type { Stretch } from '../../activities/replication/stretch.ts';
import { nodePaths } from '../../config/names.ts';
import { readSettings } from '../../config/settings.ts';
import { contentsOf, type LoneShard, load, type ShardKind, type ShardNode, startLoneShard } from '../support/lone-shard.ts';
import { writeMixed } from '../support/mixed-writes.ts';
import { until } from '../support/processes.ts';

const docker = createEngine(readSettings({}));

/** Every engine, and between them: cluster and sentinel mode, with and without TLS, from a replica and from a primary, without and with a file. */
const kinds: readonly (ShardKind & { readonly from: 'primary' | 'replica'; readonly diskless: 'yes' | 'no' })[] = [
  { engine: 'redis', version: '7.0', mode: 'cluster', tls: false, from: 'replica', diskless: 'yes' },
  { engine: 'redis', version: '8.0', mode: 'sentinel', tls: true, from: 'replica', diskless: 'yes' },
  { engine: 'valkey', version: '8.1', mode: 'sentinel', tls: false, from: 'primary', diskless: 'no' },
  { engine: 'valkey', version: '9.1', mode: 'cluster', tls: true, from: 'primary', diskless: 'yes' },
];
const WRITES = 200_000;

describe.each(kinds)('$engine $version, $mode mode, from the $from', ({ from, diskless, ...kind }) => {
  let shard: LoneShard;
  let source: ShardNode;
  beforeAll(async () => {
    shard = await startLoneShard(docker, kind);
    source = shard[from];
    await source.redis.config('SET', 'repl-diskless-sync', diskless);
  });
  afterAll(() => shard?.stop());

  test('an RDB that was streamed while writes went on loads to what the source held', async () => {
    expect(await writeMixed(shard.primary, 30_000, kind.mode)).toBe(0);
    if (fieldsExpire(kind)) {
      await shard.primary.redis.hset('expires', 'field', 'value');
      await shard.primary.redis.call('HPEXPIRE', 'expires', 3_600_000, 'FIELDS', 1, 'field');
    }
    await alike(shard);
    const held = await contentsOf(source);
    expect(held.keys).toBeGreaterThan(10_000);
    const synced = await handshake(source.target, { rdbOnly: true });
    const writing = writeMixed(shard.primary, 20_000, kind.mode);
    if (synced.how !== 'full') throw new Error(synced.how);
    const rdb = await readAll(synced.rdb);
    expect(await writing).toBe(0);
    expect(synced.rdb).toMatchObject({ complete: true, bytes: rdb.length, header: { replid: synced.replid, offset: synced.offset } });
    expect(await load(docker, shard.spec, [{ path: `${nodePaths.db}/dump.rdb`, content: rdb }])).toEqual(held);
    await alike(shard);
    expect((await contentsOf(source)).digest).not.toBe(held.digest);
  });

  test('base and stream load to what the shard holds, through three cuts and a failover', async () => {
    // The database that is selected when a base is taken is not selected again for it: a replica tells it in the RDB.
    const other = kind.mode === 'sentinel' ? 3 : 0;
    await shard.primary.redis.multi().select(other).set('before', 'base').exec();
    await alike(shard);
    const { base, stream } = await beginTimeline(source.target);
    await shard.primary.redis.multi().set('after', 'base').select(0).exec();
    expect(stream).toMatchObject({ replid: base.replid, offset: base.offset });
    const rdb = readAll(base.rdb);
    let node = source;
    const followed = keepFollowing(stream, () => node);
    let primary = shard.primary;
    const startedMs = await timeOf(primary);
    for (let part = 0; part < 5; part++) {
      const writing = writeMixed(primary, WRITES / 5, kind.mode);
      await pause(100 + Math.random() * 100);
      if (part < 3) followed.cut();
      if (part === 3) {
        node = shard.replica;
        await failOver(shard, kind.mode);
        primary = shard.replica;
      }
      const refused = await writing;
      if (part !== 3) expect(refused).toBe(0);
    }
    await alike({ primary, replica: shard.primary });
    const end = await primary.offset();
    await until('all has come', async () => followed.offset() >= end);
    const endedMs = await timeOf(primary);
    const { stretches, renamed, cuts } = await followed.end();
    expect(renamed).toBe(1);
    expect(cuts).toBeGreaterThanOrEqual(4);

    const baseBytes = await rdb;
    if (from === 'replica') expect(base.rdb.header?.streamDb).toBe(other);
    const select = Buffer.from(encodeCommand(['SELECT', base.rdb.header?.streamDb ?? 0]) as string);
    const loaded = (parts: readonly Stretch[]) =>
      load(docker, shard.spec, appendOnly(baseBytes, Buffer.concat([select, ...parts.map(({ bytes }) => bytes)])));
    expect(stretches.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeGreaterThan(WRITES * 30);
    const held = await contentsOf(primary);
    expect(await loaded(stretches)).toEqual(held);
    expect((await loaded(stretches.toSpliced(stretches.length >> 1, 1))).digest, 'a gap must show').not.toBe(held.digest);
    const times = stretches.flatMap(({ stamps }) => stamps.map(({ timeMs }) => timeMs));
    expect(times.length).toBeGreaterThan(20);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[0]).toBeGreaterThanOrEqual(startedMs);
    expect(times.at(-1)).toBeLessThanOrEqual(endedMs);
    // A moment is found again: the writes up to a stamp are kept, and the next are not.
    const middle = times[Math.floor(times.length / 2)] ?? 0;
    expect(cutByTime(stretches, middle)).toMatchObject({ timeMs: middle });
    expect(cutByTime(stretches, startedMs - 1)).toBeUndefined();
  });

  test('WAIT counts a follower for what it has declared durable, and for nothing else', async () => {
    const { primary, replica } = { primary: shard.replica, replica: shard.primary };
    await alike({ primary, replica });
    const { base, stream } = await beginTimeline(primary.target);
    await close(base);
    const following = followStream(stream, { everyMs: 20 });
    let end = stream.offset;
    const running = (async () => {
      for await (const { endOffset } of following) end = endOffset;
    })().catch(() => undefined); // it is closed here
    await primary.redis.set('waited', 'for');
    expect(await primary.redis.wait(2, 300)).toBe(1);
    const written = await primary.offset();
    await until('it has come', async () => end >= written);
    const durable = end; // the server's pings make the stream longer meanwhile
    following.acknowledge(durable);
    await until('the server knows', async () =>
      (await primary.redis.info('replication')).includes(`port=0,state=online,offset=${durable}`),
    );
    await primary.redis.set('waited', 'again');
    const waiting = primary.redis.wait(2, 5000);
    await until('it is acknowledged', async () => {
      following.acknowledge(end);
      return (await Promise.race([waiting, pause(50)])) === 2;
    });
    stream.link.close();
    await running;
  });

  test('a place that has left the backlog is told as a break, and so is another stream', async () => {
    const primary = shard.replica;
    await primary.redis.config('SET', 'repl-backlog-size', '16kb');
    const before = await handshake(primary.target, { rdbOnly: true });
    await close(before);
    expect(await writeMixed(primary, 30_000, kind.mode)).toBe(0);
    const late = await resumeAt(primary.target, before);
    expect(late).toMatchObject({ how: 'full', replid: before.replid });
    expect(late.offset).toBeGreaterThan(before.offset);
    await close(late);
    const other = await resumeAt(primary.target, { replid: 'f'.repeat(40), offset: late.offset });
    expect(other.how).toBe('full');
    await close(other);
  });

  test('a user without the right is told what is missing, and a wrong password is', async () => {
    await expect(handshake({ ...source.target, password: 'wrong' })).rejects.toMatchObject({ type: 'EngineRefused' });
    await source.redis.call('ACL', 'SETUSER', 'poor', 'on', '>secret', '+ping');
    await expect(handshake({ ...source.target, user: 'poor', password: 'secret' })).rejects.toMatchObject({
      type: 'EngineRefused',
      message: expect.stringContaining('+psync +replconf +ping'),
    });
  });
});

/** Whether fields of a hash can expire: what Valkey leaves out of an RDB for those that do not say that they know it. */
const fieldsExpire = ({ engine, version }: ShardKind) => version === (engine === 'redis' ? '8.0' : '9.1');

const timeOf = async ({ redis }: ShardNode): Promise<number> => {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
};

/** Until primary and replica have the same writes behind them; the primary's PINGs count as well. */
const alike = ({ primary, replica }: Pick<LoneShard, 'primary' | 'replica'>) =>
  until('the replica has everything', async () => {
    const [first, second] = [await primary.offset(), await replica.offset()];
    return first === second && first === (await primary.offset());
  });

async function failOver({ primary, replica }: LoneShard, mode: 'cluster' | 'sentinel'): Promise<void> {
  if (mode === 'cluster') await replica.redis.call('CLUSTER', 'FAILOVER');
  else await primary.redis.call('FAILOVER', 'TO', replica.address, 6379, 'TIMEOUT', 5000);
  await until('the replica leads', async () => (await replica.role()) === 'master' && (await primary.role()) === 'slave');
}

async function readAll(parts: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}

/** A synchronization that is not wanted: the server forgets about it once the connection is closed. */
async function close({ link }: Synced): Promise<void> {
  link.close();
}

/** Follows on and on, as an archive does, and connects again whenever the connection ends. */
function keepFollowing(first: Synced, node: () => ShardNode) {
  const stretches: Stretch[] = [];
  let synced = first;
  let [replid, offset, db] = [first.replid, first.offset, undefined as number | undefined];
  let [renamed, cuts, ended] = [0, 0, false];
  const run = async () => {
    while (!ended) {
      try {
        const following = followStream(synced, { everyMs: 50 });
        for await (const stretch of following) {
          expect(stretch.startOffset).toBe(offset);
          stretches.push(stretch);
          [offset, db] = [stretch.endOffset, stretch.endDb];
          following.acknowledge(offset);
        }
      } catch (error) {
        if (!(error instanceof ReplicationLost)) throw error;
      }
      if (ended) return;
      cuts++;
      synced = await until('it goes on', () =>
        resumeAt(node().target, { replid, offset, db }).catch((error: unknown) => {
          if (error instanceof ReplicationLost || error instanceof ReplicationNotNow) return undefined;
          throw error;
        }),
      );
      if (synced.how !== 'continue') throw new Error(`the stream broke at ${offset}: the server goes on at ${synced.offset}`);
      if (synced.renamed) renamed++;
      replid = synced.replid;
    }
  };
  const running = run();
  running.catch(() => undefined); // `end` tells it
  return {
    cut: () => synced.link.close(),
    offset: () => offset,
    async end() {
      ended = true;
      synced.link.close();
      await running;
      return { stretches, renamed, cuts };
    },
  };
}

/** The layout of an append-only directory, as the servers' documentation of persistence has it. */
const appendOnly = (rdb: Buffer, writes: Buffer) => {
  const folder = `${nodePaths.db}/appendonlydir/appendonly.aof`;
  return [
    { path: `${folder}.1.base.rdb`, content: rdb },
    { path: `${folder}.1.incr.aof`, content: writes },
    { path: `${folder}.manifest`, content: 'file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n' },
  ];
};
