import { buffer } from 'node:stream/consumers';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import { refuseWrites, requireWritesRefused, takeWrites } from '../../activities/redis/writes.ts';
import type { BackupManifest } from '../../config/backup.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { nodePaths } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { findChanges, LIBRARY, STATIC_KEYS, writeStaticData } from '../support/static-data.ts';
import { asApplication, ask, onNode, refusal } from './ask.ts';

let stack: Stack;
const spec = testSpec(uniqueName(), { replicasPerShard: 1, pitr: { enabled: true, rpoSeconds: 1 } });
const cluster = spec.name;
const part = uniqueName();
const SHARDS = [0, 1, 2];
/** Keys that live for one second, two, three, ...: some of them have ended when they are brought back, and have something left of the time that they had. */
const MORTAL_KEYS = 90;
const ENDED_FOR_MS = 40_000;
/** What is sent to another server is told what it has left when it is sent, and ends later by what the way takes. */
const SLACK_MS = 10_000;
/** When each was to end, ms since 1970. */
let ends: readonly number[] = [];
let at = '';

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);
const slotsOf = ({ shards }: StatusReport) => shards.map((shard) => shard.slots);
let slots: unknown;
const status = () => ask<StatusReport>(stack, 'status', { cluster });
const window = () => readRecoveryWindow(stack.dependencies.store, cluster);
/** Stamps stand five a second, but for a machine that is too busy. */
const BETWEEN_STAMPS_MS = 3000;
/** A moment so long after this one that each shard has a stamp in between: of all that was written before, nothing is missing. */
const archivedTo = (ms: number) =>
  until('it is archived', async () => {
    const { latest = '' } = await window();
    return latest > new Date(ms + BETWEEN_STAMPS_MS).toISOString() ? latest : undefined;
  });

/** The first node of a shard leads it, unless a failover came in between. */
async function onPrimaries(work: (redis: Redis) => Promise<unknown>, among: readonly number[] = SHARDS): Promise<void> {
  const { shards } = await status();
  for (const shard of among) {
    const primary = shards[shard]?.nodes.find(({ role }) => role === 'primary')?.name ?? '';
    await onNode(stack, cluster, primary, work);
  }
}

type Client = Parameters<Parameters<typeof asApplication>[2]>[0];
const endsOf = (app: Client) =>
  Promise.all(Array.from({ length: MORTAL_KEYS }, async (_, i) => Number(await app.call('PEXPIRETIME', `mortal:${i}`))));

/**
 * What is wrong with times that were shifted: each by what has passed between the moment and the end of the load, which was somewhere in the restore; one that is not over by that is there.
 * @param passed least and most
 */
function wrongWith(found: readonly number[], passed: readonly [number, number], readMs: number): readonly string[] {
  return found.flatMap((end, i) => {
    const was = ends[i] ?? Number.NaN;
    if (end < 0) return was + passed[0] > readMs ? [`mortal:${i} is gone, and had ${was + passed[0] - readMs} ms left`] : [];
    const by = end - was;
    return by < passed[0] || by > passed[1] + SLACK_MS ? [`mortal:${i} was shifted by ${by} ms, not by ${passed.join(' to ')}`] : [];
  });
}

beforeAll(async () => {
  stack = await startStack();
  await run('provision', { spec });
  await asApplication(stack, cluster, writeStaticData);
  await onPrimaries((redis) => redis.call('FUNCTION', 'LOAD', LIBRARY));
  await archivedTo(Date.now());
  await asApplication(stack, cluster, async (app) => {
    for (let i = 0; i < MORTAL_KEYS; i++) await app.set(`mortal:${i}`, i, 'PX', (i + 1) * 1000);
    ends = await endsOf(app);
    await app.hset('fields', 'mortal', '1', 'none', '3');
    await app.call('HPEXPIRE', 'fields', 600_000, 'FIELDS', 1, 'mortal');
  });
  at = await archivedTo(Date.now());
  slots = slotsOf(await status());
  // The wrong keys are dropped, nonsense is written, and slots move.
  await asApplication(stack, cluster, async (app) => {
    for (let i = 0; i < STATIC_KEYS; i++) await app.set(`text:${i}`, 'nonsense');
    for (let i = 0; i < 500; i++) await app.set(`later:${i}`, 'later');
  });
  await onPrimaries((redis) => redis.flushall(), [0]);
  await run('rebalance', { cluster, weights: { 1: 0.9 } });
  await archivedTo(Date.now());
}, 300_000);
afterAll(async () => {
  for (const name of [cluster, part]) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});

test('what is asked for in place without its name, with other shards or a part of the keys is refused, and nothing is changed', async () => {
  const refused = async (input: object) => (await refusal(run('restore', { cluster, at, ...input }))).message;
  expect(await refused({})).toMatch(/what it has now would be replaced.*type its name once more \(confirm: "/);
  expect(await refused({ confirm: cluster, include: ['text:*'] })).toContain('a part of the keys cannot take the place of all');
  expect(await refused({ confirm: cluster, changes: { shards: 4 } })).toContain('its spec stays as it is in place');
  expect(await refused({ confirm: 'other' })).toContain('confirm must repeat the name of the cluster');
  const { outcome, plan } = await run('restore', { cluster, at, into: cluster, confirm: cluster, dryRun: true });
  expect([outcome, plan.refusals]).toEqual(['planned', []]);
  expect(await asApplication(stack, cluster, (app) => app.get('text:1'))).not.toBe('value 1');
});

test('a part that is copied has as much time left as it had then', async () => {
  const began = Date.now();
  const changes = { mode: 'sentinel', pitr: { enabled: false } };
  const { restored } = await run('restore', { cluster, at, into: part, include: ['mortal:*'], ttl: 'shift', changes });
  const found = await asApplication(stack, part, endsOf, { mode: 'sentinel' });
  const [least, most] = [began - Date.parse(at), began + (restored?.loadedMs ?? 0) - Date.parse(at)];
  expect(wrongWith(found, [least, most], Date.now())).toEqual([]);
  expect(wrongWith(ends, [least, most], Date.now())).not.toEqual([]);
  await run('deprovision', { cluster: part, confirm: part });
});

test('a cluster gets its data of before the accident in place, with as much time left; what it had is a held backup, and the archive goes on', async () => {
  await until('the first of them have ended for long', async () => Date.now() > Date.parse(at) + ENDED_FOR_MS);
  const [before, began] = [await status(), Date.now()];
  const { restored, summary } = await run('restore', { cluster, at, confirm: cluster, ttl: 'shift' });
  const found = await asApplication(stack, cluster, endsOf);
  const readMs = Date.now();
  const passed = [began - Date.parse(at), began + (restored?.loadedMs ?? 0) - Date.parse(at)] as const;
  expect(wrongWith(found, passed, readMs)).toEqual([]);
  // Some of them are there although they had ended before the restore began.
  expect(found.filter((end, i) => end > 0 && (ends[i] ?? 0) < began).length).toBeGreaterThan(0);
  const fields = (await asApplication(stack, cluster, (app) => app.call('HPTTL', 'fields', 'FIELDS', 2, 'mortal', 'none'))) as number[];
  expect(fields[0]).toBeGreaterThan(600_000 - (readMs - began) - 5000);
  expect(fields[1]).toBe(-1);

  // Those that end in years do so later, too.
  expect((await asApplication(stack, cluster, findChanges)).filter((change) => !change.startsWith('expires:'))).toEqual([]);
  expect(await asApplication(stack, cluster, (app) => app.exists('later:1'))).toBe(0);
  const after = await status();
  expect(after).toMatchObject({ verdict: 'healthy', generation: before.generation });
  expect(slotsOf(after)).toEqual(slots);
  expect(slotsOf(before)).not.toEqual(slotsOf(after));
  for (const { nodes } of after.shards) expect(nodes.map(({ role }) => role)).toEqual(['primary', 'replica']);

  const id = restored?.before ?? '';
  expect(summary).toContain(id);
  expect(await ask<BackupManifest>(stack, 'showBackup', { cluster, backup: id })).toMatchObject({
    verified: { how: 'loaded' },
    hold: { reason: expect.stringContaining('in place') },
  });
  const folders = await stack.dependencies.docker
    .getContainer(`${cluster}-0-0`)
    .exec({ Cmd: ['ls', nodePaths.db, nodePaths.conf], AttachStdout: true });
  const listed = (await buffer(await folders.start({}))).toString();
  expect(listed.match(/appendonlydir\S*/g)).toHaveLength(1);
  expect(listed).not.toMatch(/before-|replacing/);

  // The line of writes has broken, and a new one goes on; what was before it can still be reached.
  await archivedTo(Date.now());
  const { shards, spans } = await window();
  for (const { gaps } of shards) expect(gaps.length).toBeGreaterThan(0);
  expect(spans.length).toBeGreaterThan(1);
  expect(spans[0]?.to.localeCompare(at)).toBe(1);
});

test('a second restore in place, to a moment after the first, begins on its timeline; nothing that is acknowledged meanwhile is lost', async () => {
  await asApplication(stack, cluster, (app) => app.set('text:1', 'between'));
  const moment = await archivedTo(Date.now());
  await asApplication(stack, cluster, (app) => app.set('text:1', 'nonsense'));
  let written = 0;
  /** Writes until it is told no. */
  const writing = asApplication(stack, cluster, async (app) => {
    for (;;) {
      const problem = await app.set(`during:${written}`, written).then(
        () => undefined,
        (error: Error) => error.message,
      );
      if (problem !== undefined) return problem;
      written++;
    }
  });
  const [{ restored }, told] = await Promise.all([run('restore', { cluster, at: moment, confirm: cluster }), writing]);
  expect(await asApplication(stack, cluster, (app) => app.get('text:1'))).toBe('between');
  expect((await status()).verdict).toBe('healthy');

  // Every write that was acknowledged while it was prepared is in the backup of what was there; the application was told of the first that is not.
  expect(told).toMatch(/^NOREPLICAS/);
  expect(written).toBeGreaterThan(100);
  const changes = { replicasPerShard: 0, pitr: { enabled: false } };
  await run('restore', { cluster, backup: restored?.before, into: part, changes });
  const found = await asApplication(stack, part, (app) =>
    Promise.all(Array.from({ length: written + 1 }, (_, i) => app.get(`during:${i}`))),
  );
  expect(found).toEqual([...Array.from({ length: written }, (_, i) => `${i}`), null]);
  await run('deprovision', { cluster: part, confirm: part });
  expect(await asApplication(stack, cluster, (app) => app.set('during:again', 'yes'))).toBe('OK');
});

test('a node that was started anew while writes were refused is found out, and whoever looks is told what refuses them', async () => {
  const deps = { ...stack.dependencies, hostName: 'local' };
  const whole = clusterSpec.parse(spec);
  const set = () => asApplication(stack, cluster, (app) => app.set('text:1', 'then')).catch((error: Error) => error.message);
  await refuseWrites(deps, whole);
  expect(await set()).toMatch(/^NOREPLICAS/);
  expect(await asApplication(stack, cluster, (app) => app.get('text:1'))).not.toBeNull();
  await requireWritesRefused(deps, whole);
  const { verdict, findings } = await status();
  expect([verdict, findings.map(({ code }) => code)]).toEqual(['down', expect.arrayContaining(['writes-refused'])]);
  await stack.dependencies.docker.getContainer(`${cluster}-1-0`).restart({ t: 5 });
  const missed = await until('it answers again', () =>
    requireWritesRefused(deps, whole).then(
      () => undefined,
      ({ message }: Error) => (message.includes('takes writes again') ? message : undefined),
    ),
  );
  expect(missed).toContain(`${cluster}-1-0 takes writes again`);
  await takeWrites(deps, whole);
  expect(await set()).toBe('OK');
  await until('it is healthy', async () => (await status()).verdict === 'healthy');
});
