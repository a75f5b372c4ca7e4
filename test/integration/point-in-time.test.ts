import calculateSlot from 'cluster-key-slot';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import { readPieces } from '../../activities/archive/segment.ts';
import { CommandScanner } from '../../activities/replication/command-scanner.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { drillName, nodeName, objectKeys, ports, systemUsers } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { MOST_UNSTAMPED_MS, piecesFrom } from '../../model/recovery/archive.ts';
import { clusterNames, holdings, sweep, testSpec } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, onNode, refusal } from './ask.ts';

const everything = process.env.TEST_ALL === 'true';
const MOMENTS = everything ? 20 : 2;
const SHARDS = [0, 1, 2];

let stack: Stack;
let spec: ClusterSpec;
const { names, named } = clusterNames();
const primaries: Redis[] = [];
const tags: string[] = [];
/** What each shard was given, in its order: the server's own clock at each write, in microseconds. */
let written: number[][] = [];
/** The stamps in each shard's stream, ms. */
let stamps: number[][] = [];
let startedMs = 0;
let endedMs = 0;

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);

/** Writes the server's time at the end of a list, under a key of its own, and into a counter, in one step. */
const WRITE = `local t = redis.call('TIME') local us = t[1] * 1000000 + t[2]
redis.call('RPUSH', KEYS[1], string.format('%.0f', us)) redis.call('SET', KEYS[2], string.format('%.0f', us)) redis.call('INCR', KEYS[3])`;

async function writeWhile(goesOn: () => boolean, redis: Redis, tag: string): Promise<void> {
  for (let n = 0; goesOn(); ) {
    await Promise.all(
      Array.from({ length: 20 }, () => redis.call('EVAL', WRITE, 3, `log:{${tag}}`, `one:{${tag}}:${n++}`, `count:{${tag}}`)),
    );
  }
}

const logOf = async (redis: Redis, tag: string) => (await redis.lrange(`log:{${tag}}`, 0, -1)).map(Number);

/** The stamps of a shard's archive. */
async function stampsOf(shard: number): Promise<number[]> {
  const { store, secrets } = stack.dependencies;
  const [timeline] = await readArchive(store, spec.name, shard);
  if (timeline === undefined) throw new Error('no archive');
  const scanner = new CommandScanner(0);
  const found: number[] = [];
  for await (const part of readPieces({ store, ring: await secrets.keyRing(spec.name) }, piecesFrom(timeline, timeline.begin.base.offset)))
    found.push(...scanner.scan(part).stamps.map(({ timeMs }) => timeMs));
  return found;
}

beforeAll(async () => {
  stack = await startStack();
  const source = named();
  spec = clusterSpec.parse(
    testSpec(source, { engine: 'valkey', version: '9.1', replicasPerShard: 0, pitr: { enabled: true, rpoSeconds: 1 } }),
  );
  await run('provision', { spec });
  const { shards } = await ask<StatusReport>(stack, 'status', { cluster: source });
  const { caCert, users } = await stack.dependencies.secrets.readCredentials(source);
  const password = users.find(({ name }) => name === systemUsers.operator)?.password;
  for (const { shard, slots, nodes } of shards) {
    const address = nodes[0]?.address ?? '';
    const [from = 0, to = 0] = (slots[0] ?? '').split('-').map(Number);
    let tag = 0;
    while (calculateSlot(String(tag)) < from || calculateSlot(String(tag)) > to) tag++;
    tags[shard] = String(tag);
    const primary = new Redis({ host: address, port: ports.server, username: systemUsers.operator, password, tls: { ca: caCert } });
    primaries[shard] = primary;
    await primary.call('SET', `before:{${tag}}`, 'the base');
  }
  // The bases are stored when each shard can be brought back; what comes now is what is to be brought back.
  await until('the archive reaches something', async () => (await readRecoveryWindow(stack.dependencies.store, source)).latest);
  startedMs = Date.now();
  let writing = true;
  const writers = SHARDS.map((shard) => writeWhile(() => writing, primaries[shard] as Redis, tags[shard] ?? ''));
  const toldTime = async (shard: number) => (await stampsOf(shard)).filter((one) => one > startedMs).length > 10;
  for (const shard of SHARDS) await until(`shard ${shard} has told the time`, () => toldTime(shard), 60_000);
  writing = false;
  await Promise.all(writers);
  endedMs = Date.now();
  await until('all of it is archived', async () => {
    const { latest = '' } = await readRecoveryWindow(stack.dependencies.store, source);
    return latest > new Date(endedMs).toISOString();
  });
  stamps = await Promise.all(SHARDS.map(stampsOf));
  written = await Promise.all(SHARDS.map((shard) => logOf(primaries[shard] as Redis, tags[shard] ?? '')));
}, 400_000);
afterAll(async () => {
  for (const redis of primaries) redis.disconnect();
  for (const name of names) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

const ms = (us: number | undefined) => Math.floor((us ?? Number.NaN) / 1000);

/** The first moment from one on at which all shards have told the time lately: on a machine that is busy one may not have. */
function toldAt(from: number): number {
  const told = (ms: number) =>
    SHARDS.every((shard) => (stamps[shard] ?? []).some((one) => one <= ms && ms - one < MOST_UNSTAMPED_MS / 2 && one > startedMs));
  let ms = Math.floor(from);
  while (!told(ms) && ms < endedMs) ms++;
  return ms;
}

/** What is wrong with a shard that was to be cut at a stamp. */
function wrongWith(found: readonly number[], all: readonly number[], stampMs: number): readonly string[] {
  const next = all[found.length];
  return [
    ...(found.every((us, at) => us === all[at]) ? [] : ['it is no prefix of what was written']),
    ...(found.length === 0 || ms(found.at(-1)) <= stampMs ? [] : ['it has a write of later']),
    ...(next === undefined || ms(next) >= stampMs ? [] : [`it lacks a write of ${next}`]),
  ];
}

/** What a shard would have that was cut at another stamp: the nearest before or after that makes a difference. */
function cutElsewhere(shard: number, stampMs: number, found: readonly number[], which: 'before' | 'after'): readonly number[] {
  const others = (stamps[shard] ?? []).filter((one) => (which === 'before' ? one < stampMs : one > stampMs));
  const cuts = (which === 'before' ? others.toReversed() : others).map((one) => (written[shard] ?? []).filter((us) => ms(us) < one));
  return cuts.find((cut) => Math.abs(cut.length - found.length) > 1) ?? found;
}

/** Every list, and how many keys there are. */
const heldBy = async (cluster: string) => {
  const lists = await asApplication(stack, cluster, (app) => Promise.all(tags.map((tag) => app.lrange(`log:{${tag}}`, 0, -1))));
  const { verdict, shards } = await ask<StatusReport>(stack, 'status', { cluster });
  return { verdict, lists: lists.map((list) => list.map(Number)), keys: shards.reduce((sum, { keys = 0 }) => sum + keys, 0) };
};

/** Among more shards, and fewer nodes that know of it, there is at that moment what another one has. */
async function sameAmongOthers(atMs: number, other: string): Promise<void> {
  const into = named();
  const { steps, restored } = await run('restore', {
    cluster: spec.name,
    at: new Date(atMs).toISOString(),
    into,
    changes: { shards: 4, pitr: { enabled: false } },
  });
  expect(steps.map(({ name }) => name)).toEqual(expect.arrayContaining(SHARDS.map((shard) => `spread the keys of shard ${shard}`)));
  const held = await heldBy(into);
  // A key that says the time ends by itself.
  const { keys, ...rest } = await heldBy(other);
  expect(held).toMatchObject(rest);
  expect(Math.abs(held.keys - keys)).toBeLessThanOrEqual(SHARDS.length);
  for (const { shard, at } of restored?.shards ?? [])
    expect(Date.parse(at)).toBe((stamps[shard] ?? []).filter((one) => one <= atMs).at(-1));
  await run('deprovision', { cluster: into, confirm: into });
}

describe('a cluster that is written to', () => {
  test(`comes back as it was at any of ${MOMENTS} moments: each shard exactly what it was given until then`, async () => {
    // Each shard has stamps with writes between them on both sides: else a cut at another one would make no difference, and nobody could tell.
    const among = SHARDS.map((shard) => (stamps[shard] ?? []).filter((one) => one > startedMs && one < endedMs));
    const from = Math.max(...among.map((its) => its[2] ?? Number.NaN));
    const to = Math.min(...among.map((its) => its.at(-3) ?? Number.NaN));
    expect(to - from).toBeGreaterThan(0);
    for (let number = 0; number < MOMENTS; number++) {
      const atMs = toldAt(from + (to - from) * ((number + Math.random()) / MOMENTS));
      const into = named();
      const { restored } = await run('restore', {
        cluster: spec.name,
        at: new Date(atMs).toISOString(),
        into,
        changes: { pitr: { enabled: false }, persistence: { aof: number % 2 === 0 } },
      });
      let reach = 0;
      for (const shard of SHARDS) {
        const tag = tags[shard] ?? '';
        const all = written[shard] ?? [];
        const stampMs = (stamps[shard] ?? []).filter((one) => one <= atMs).at(-1) ?? 0;
        expect(Date.parse(restored?.shards[shard]?.at ?? '')).toBe(stampMs);
        await onNode(stack, into, nodeName(into, shard, 0), async (redis) => {
          const found = await logOf(redis, tag);
          expect(wrongWith(found, all, stampMs), `shard ${shard} at ${atMs}`).toEqual([]);
          for (const which of ['before', 'after'] as const)
            expect(wrongWith(cutElsewhere(shard, stampMs, found, which), all, stampMs), `a cut ${which} it`).not.toEqual([]);
          expect(Number(await redis.get(`count:{${tag}}`))).toBe(found.length);
          expect(await redis.get(`before:{${tag}}`)).toBe('the base');
          expect(await redis.config('GET', 'appendonly')).toMatchObject(['appendonly', number % 2 === 0 ? 'yes' : 'no']);
          reach += found.length;
        });
      }
      expect(reach).toBeGreaterThan(0);
      if (everything || number === 0) await sameAmongOthers(atMs, into);
      await run('deprovision', { cluster: into, confirm: into });
    }
  });

  test('is planned without being made: what is read, and the exact moment that each shard reaches', async () => {
    const atMs = toldAt((startedMs + endedMs) / 2);
    const { outcome, plan } = await run('restore', { cluster: spec.name, at: new Date(atMs).toISOString(), into: named(), dryRun: true });
    expect(outcome).toBe('planned');
    expect(plan.refusals).toEqual([]);
    for (const { at, segments, writeBytes } of plan.recovery ?? []) {
      expect(Date.parse(at)).toBeLessThanOrEqual(atMs);
      expect(atMs - Date.parse(at)).toBeLessThan(1000);
      expect(segments).toBeGreaterThan(2);
      expect(writeBytes).toBeGreaterThan(1000);
    }
    expect(plan.recovery).toHaveLength(3);
  });

  test('is brought back in a drill, which leaves nothing but its report', async () => {
    const { summary, restored } = await run('drill', { cluster: spec.name });
    expect(summary).toMatch(/came back with \d+ keys and served after \d+ s/);
    for (const { at } of restored?.shards ?? []) expect(Date.parse(at)).toBeGreaterThan(endedMs);
    const { drill } = await ask<StatusReport>(stack, 'status', { cluster: spec.name });
    expect(drill).toMatchObject({ ok: true, summary, recoveredMs: restored?.loadedMs });
    const scratch = drillName(spec.name);
    names.push(scratch);
    expect(await holdings(stack.dependencies.docker, scratch)).toEqual({ containers: [], volumes: [], networks: [] });
    expect(await stack.dependencies.store.list(objectKeys.clusterPrefix(scratch))).toEqual([]);

    const failed = await refusal(run('drill', { cluster: spec.name, at: new Date(startedMs - 600_000).toISOString() }));
    expect(failed.type).toBe('NotRestorable');
    expect((await ask<StatusReport>(stack, 'status', { cluster: spec.name })).drill).toMatchObject({ ok: false, summary: failed.message });
  });

  test('comes back with a shard that has given all its slots away, and without the keys that it had once', {
    timeout: 300_000,
  }, async () => {
    const { store } = stack.dependencies;
    await run('rebalance', { cluster: spec.name, weights: { 0: 0 } });
    const moved = new Date().toISOString();
    await until(
      'a moment after it can be reached',
      async () => ((await readRecoveryWindow(store, spec.name)).latest ?? '') > moved,
      60_000,
    );
    const last = (await readArchive(store, spec.name, 1)).at(-1)?.slots.at(-1)?.ms ?? 0;
    const during = await refusal(run('restore', { cluster: spec.name, at: new Date(last + 100).toISOString(), into: named() }));
    expect(during.message).toMatch(/(slots of shard .* were on their way|nothing said what the time was).* The nearest moments are/);
    const other = named();
    await run('restore', { cluster: spec.name, latest: true, into: other, changes: { shards: 5, pitr: { enabled: false } } });
    expect(await heldBy(other)).toMatchObject({ verdict: 'healthy', lists: written });
    await run('deprovision', { cluster: other, confirm: other });
    const into = named();
    await run('restore', { cluster: spec.name, latest: true, into, changes: { pitr: { enabled: false } } });
    const { verdict, shards } = await ask<StatusReport>(stack, 'status', { cluster: into });
    expect(verdict).toBe('healthy');
    expect(shards[0]).toMatchObject({ slots: [], keys: 0 });
    const found = await asApplication(stack, into, async (app) => {
      const lists: number[][] = [];
      for (const tag of tags) lists.push((await app.lrange(`log:{${tag}}`, 0, -1)).map(Number));
      return lists;
    });
    expect(found).toEqual(written);
  });

  test('cannot be brought back to a moment outside of its archive, and the message says which it reaches', async () => {
    const window = /It can be brought back to\n {2}\d{4}-.*Z to \d{4}-.*Z/;
    for (const atMs of [startedMs - 600_000, Date.now() + 600_000])
      expect(await refusal(run('restore', { cluster: spec.name, at: new Date(atMs).toISOString(), into: named() }))).toMatchObject({
        type: 'NotRestorable',
        message: expect.stringMatching(window),
      });
  });
});
