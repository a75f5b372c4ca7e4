import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, expect, test } from 'vitest';
import { readRecoveryWindow } from '../../activities/archive/read-window.ts';
import type { RecoverySpan } from '../../config/archive.ts';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { clusterNames, sweep, testSpec } from '../support/clusters.ts';
import { engineEvidence } from '../support/crash-evidence.ts';
import { type Running, until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { STAMPED, type Stamps, stampedIn, startStampedWrites, wrongWithCut } from '../support/stamped-writes.ts';
import { ask, loginOf, onNode, refusal } from './ask.ts';

/** What happens to a cluster that is archived and written to. */
type Event =
  | 'a failover'
  | 'a primary that is restarted'
  | 'a replica that is restarted'
  | 'a worker that is killed'
  | 'an archiver that is away'
  | 'a scale out';

interface Life {
  readonly name: string;
  readonly spec: Partial<ClusterSpecInput>;
  readonly events: readonly Event[];
  /** Moments that are looked at while an event lasts; besides one before it, and one after. */
  readonly during: number;
}

const everything = process.env.TEST_ALL === 'true';
const all = ['a failover', 'a worker that is killed', 'an archiver that is away'] as const;
const lives: readonly Life[] = [
  {
    name: 'valkey 9.1 in sentinel mode',
    spec: { mode: 'sentinel', security: { tls: false, users: [{ name: 'app' }] } },
    events: everything ? all : ['a failover'],
    during: everything ? 2 : 1,
  },
  { name: 'valkey 9.1, slots moved by the servers', spec: { replicasPerShard: 1 }, events: [...all, 'a scale out'], during: 2 },
  {
    name: 'redis 7.0 without an append-only file, slots moved key by key',
    spec: { engine: 'redis', version: '7.0', replicasPerShard: 1, persistence: { aof: false } },
    events: ['a failover', 'a scale out'],
    during: 3,
  },
  {
    name: 'redis 8.0, servers started again',
    spec: { engine: 'redis', version: '8.0', replicasPerShard: 1 },
    events: ['a replica that is restarted', 'a primary that is restarted'],
    during: 2,
  },
];
const AWAY_MS = 30_000;
/** Further back than that a moment is not answered with what was written before it. */
const MOST_BEFORE_MS = 2500;

let stack: Stack;
let worker: Running;
const { names, named } = clusterNames();
afterEach(async () => {
  for (const name of names.splice(0)) await sweep(stack.dependencies.docker, name);
  await stack?.stop();
});
afterAll(async () => {
  await stack?.stop();
});

const run = (type: string, input: object) => ask<OperationResult>(stack, type, input);
const status = (cluster: string) => ask<StatusReport>(stack, 'status', { cluster });
const primaryOf = async (cluster: string, shard: number) =>
  (await status(cluster)).shards[shard]?.nodes.find(({ role, state }) => role === 'primary' && state === 'running')?.name;
const windowOf = (cluster: string) => readRecoveryWindow(stack.dependencies.store, cluster);

/** All that is written until now can be brought back. */
async function archived(cluster: string): Promise<number> {
  const now = Date.now();
  await until('it is archived', async () => Date.parse((await windowOf(cluster)).latest ?? '') > now, 120_000);
  return now;
}

/** What the servers and sentinels say, when a failover does not come. */
async function told(cluster: string): Promise<string> {
  const looks = Object.entries(await engineEvidence(stack, cluster)).filter(([what]) => what.startsWith('the log of'));
  const logs = looks.map(([what, log]) => `${what}\n${log.split('\n').slice(-60).join('\n')}`);
  return [JSON.stringify(await status(cluster), undefined, 1), ...logs].join('\n');
}

/** Makes it happen, and waits until it is over. */
async function happen(event: Event, cluster: string): Promise<void> {
  if (event === 'a failover') {
    const primary = (await primaryOf(cluster, 0)) ?? '';
    const container = stack.dependencies.docker.getContainer(primary);
    await container.kill();
    await until('another node leads', async () => ![undefined, primary].includes(await primaryOf(cluster, 0)), 120_000).catch(
      async (error: Error) => {
        throw new Error(`${error.message}\n${await told(cluster)}`);
      },
    );
    await container.start();
    await until('it is healthy again', async () => (await status(cluster)).verdict === 'healthy', 120_000);
  } else if (event === 'a primary that is restarted' || event === 'a replica that is restarted') {
    const role = event === 'a primary that is restarted' ? 'primary' : 'replica';
    const name = (await status(cluster)).shards[1]?.nodes.find((node) => node.role === role)?.name ?? '';
    await stack.dependencies.docker.getContainer(name).restart();
    await until('it is healthy again', async () => (await status(cluster)).verdict === 'healthy', 120_000);
  } else if (event === 'a scale out') await run('scale', { cluster, shards: 4 });
  else {
    await worker.kill(event === 'a worker that is killed' ? 'SIGKILL' : 'SIGTERM');
    if (event === 'an archiver that is away') await pause(AWAY_MS);
    worker = stack.startWorker();
  }
}

/** The stamps in the keys of a shard, read from its primary. */
async function stampsOf(
  cluster: string,
  shard: number,
  tls: boolean,
): Promise<{ readonly keys: readonly string[]; readonly stamps: Stamps }> {
  const { shards } = await status(cluster);
  const { nodes = [], slots = [] } = shards[shard] ?? {};
  const keys = stampedIn(slots);
  const primary = nodes.find(({ role }) => role === 'primary')?.name ?? '';
  return onNode(
    stack,
    cluster,
    primary,
    async (redis) => {
      const stamps = new Map<string, readonly number[]>();
      for (const key of keys)
        stamps.set(
          key,
          (await redis.xrange(key, '-', '+')).map(([id]) => Number(id.split('-')[0])),
        );
      return { keys, stamps };
    },
    { tls },
  );
}

async function allStamps(cluster: string, tls: boolean): Promise<Stamps> {
  const { shards } = await status(cluster);
  const found = new Map<string, readonly number[]>();
  for (const { shard } of shards) for (const [key, its] of (await stampsOf(cluster, shard, tls)).stamps) found.set(key, its);
  return found;
}

/** The reachable moment that is nearest to one, when it is not further than some seconds. */
function nearest(spans: readonly RecoverySpan[], ms: number): number {
  const within = spans.map(({ from, to }) => Math.min(Math.max(ms, Date.parse(from)), Date.parse(to)));
  const [best = ms] = within.toSorted((a, b) => Math.abs(a - ms) - Math.abs(b - ms));
  return Math.abs(best - ms) < 5000 ? best : ms;
}

interface Moment {
  readonly what: string;
  readonly atMs: number;
  /** It must be reachable. */
  readonly quiet: boolean;
}

test.each(everything ? lives : lives.slice(0, 1))(
  'a cluster comes back as it was at any moment around what happened to it: $name',
  { timeout: 1_700_000 },
  async ({ spec, events, during }) => {
    stack = await startStack({ withWorker: false });
    worker = stack.startWorker();
    const cluster = named();
    const wanted = testSpec(cluster, { ...spec, pitr: { enabled: true, rpoSeconds: 1 } });
    const tls = wanted.security?.tls !== false;
    await run('provision', { spec: wanted });
    await until('the archive reaches something', async () => (await windowOf(cluster)).latest, 120_000);
    const { ca, ...login } = await loginOf(stack, cluster);
    const writes = startStampedWrites(tls && ca !== undefined ? { ...login, ca } : login);
    const moments: Moment[] = [];
    for (const event of events) {
      const before = writes.done();
      await until('it is written to', async () => writes.done() > before + 300, 120_000);
      await pause(1500);
      const from = Date.now();
      await happen(event, cluster);
      const to = Date.now();
      await archived(cluster);
      await pause(1500);
      const after = await archived(cluster);
      moments.push(
        { what: `before ${event}`, atMs: from - 700, quiet: true },
        ...Array.from({ length: during }, (_, n) => ({
          what: `during ${event}`,
          atMs: Math.floor(from + ((to - from) * (n + Math.random())) / during),
          quiet: false,
        })),
        { what: `after ${event}`, atMs: after, quiet: true },
      );
    }
    await writes.stop();
    const written = await allStamps(cluster, tls);
    expect([...written.keys()].toSorted()).toEqual(STAMPED.toSorted());

    const problems: string[] = [];
    for (const { what, quiet, ...moment } of moments) {
      const { spans } = await windowOf(cluster);
      // On a machine that is busy nobody may have told the time for some seconds.
      const atMs = quiet ? nearest(spans, moment.atMs) : moment.atMs;
      const at = new Date(atMs).toISOString();
      const say = (found: string) => process.stdout.write(`${what}, ${at}: ${found}\n`);
      const reachable = spans.some(({ from, to }) => from <= at && at <= to);
      const into = named();
      const changes = { pitr: { enabled: false }, ...(wanted.mode === 'sentinel' ? {} : { replicasPerShard: 0 }) };
      const result = await run('restore', { cluster, at, into, changes }).catch((error: unknown) => error as Error);
      if (result instanceof Error) {
        const { type, message } = await refusal(Promise.reject(result));
        say(`refused: ${message}`);
        if (type !== 'NotRestorable' || quiet || reachable || !/It can be brought back to\n {2}\d{4}-/.test(message))
          problems.push(`${what}, ${at}: ${type}, ${message}`);
        continue;
      }
      if (!reachable) problems.push(`${what}, ${at}: is outside of the window, and came back`);
      for (const { shard, at: reached } of result.restored?.shards ?? []) {
        const stampMs = Date.parse(reached);
        const { keys, stamps } = await stampsOf(into, shard, tls);
        const wrong = wrongWithCut(keys, stamps, written, stampMs);
        const count = [...stamps.values()].reduce((sum, { length }) => sum + length, 0);
        say(`shard ${shard} at ${reached}: ${count} writes in ${keys.length} keys, ${wrong.length} wrong`);
        problems.push(...wrong.slice(0, 3).map((one) => `${what}, ${at}, shard ${shard} at ${reached}: ${one}`));
        if (stampMs > atMs || atMs - stampMs > MOST_BEFORE_MS) problems.push(`${what}, ${at}: shard ${shard} was cut at ${reached}`);
        // The check sees a cut that is elsewhere.
        for (const other of [stampMs - 1500, stampMs + 1500])
          if (wrongWithCut(keys, stamps, written, other).length === 0) say(`shard ${shard}: a cut at ${other} could not be told from it`);
      }
      if (wanted.mode !== 'sentinel' && quiet) {
        const found = await allStamps(into, tls);
        const other = named();
        const { steps } = await run('restore', { cluster, at, into: other, changes: { ...changes, shards: 5 } });
        const spread = steps.filter(({ name, state }) => name.startsWith('spread ') && state === 'done').length;
        const same = isDeepStrictEqual(new Map([...(await allStamps(other, tls))].sort()), new Map([...found].sort()));
        say(`among 5 shards, of ${spread} that were spread: ${same ? 'the same' : 'not the same'}`);
        if (!same || spread === 0) problems.push(`${what}, ${at}: among other shards it is not the same`);
        await run('deprovision', { cluster: other, confirm: other });
      }
      await run('deprovision', { cluster: into, confirm: into });
    }
    expect(problems).toEqual([]);
  },
);
