import { deepStrictEqual } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { asOperator, withNode } from '../../activities/redis/connection.ts';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { networkName, probeKey, systemUsers } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import { parseRanges, slotsOf } from '../../model/migration/moves.ts';
import { holdings, testSpec } from './clusters.ts';
import { execute, expectHealthy, type Subject, type Survivor } from './crash-harness.ts';
import { createLoadClient, type LoadClient, type Login } from './load-client.ts';
import { until } from './processes.ts';

/** Keys that are there before a move, and after it. */
export const KEYS = 6000;

/** As the operator, at every node that runs. */
export async function operatorOf({ stack, cluster }: Subject): Promise<Login> {
  const { docker, secrets } = stack.dependencies;
  const [{ containers }, { ca, system }] = await Promise.all([holdings(docker, cluster), secrets.require(cluster)]);
  const addresses = await Promise.all(
    containers.map(
      async (name) => (await docker.getContainer(name).inspect()).NetworkSettings.Networks[networkName(cluster)]?.IPAddress ?? '',
    ),
  );
  return {
    addresses: addresses.filter((address) => address !== ''),
    username: systemUsers.operator,
    password: system.operator,
    ca: ca.cert,
  };
}

/** What a node answers; undefined while it does not. */
async function asked<T>({ stack, cluster }: Subject, node: string, ask: (redis: Redis) => Promise<T>): Promise<T | undefined> {
  const { docker, secrets } = stack.dependencies;
  try {
    const { NetworkSettings } = await docker.getContainer(node).inspect();
    const address = NetworkSettings.Networks[networkName(cluster)]?.IPAddress ?? '';
    return await withNode(asOperator(await secrets.require(cluster), true, { kind: 'data', address }), ask);
  } catch {
    return undefined; // it is not there yet, starts, or is away
  }
}

/** Keys that a node holds; 0 while it does not answer. */
export const keysOn = async (subject: Subject, node: string): Promise<number> =>
  (await asked(subject, node, async (redis) => Number(await redis.call('DBSIZE')))) ?? 0;

/** Slots that a node owns by its own word; 0 while it does not answer. */
export const slotsOn = async (subject: Subject, node: string): Promise<number> =>
  (await asked(subject, node, async (redis) => {
    const own = String(await redis.call('CLUSTER', 'NODES'))
      .split('\n')
      .find((line) => line.includes('myself'));
    const ranges = own?.split(' ').slice(8) ?? [];
    return ranges.filter((range) => /^[\d-]+$/.test(range)).reduce((sum, range) => sum + slotsOf(parseRanges(range)).length, 0);
  })) ?? 0;

/** Keys of the probe on any node, with the number of the write that made them. */
async function probeKeys(subject: Subject): Promise<readonly string[]> {
  const { containers } = await holdings(subject.stack.dependencies.docker, subject.cluster);
  const found = await Promise.all(
    containers.map((node) =>
      asked(subject, node, async (redis) => {
        const keys = await redis.keys(probeKey('*'));
        return Promise.all(
          keys.map(async (key) => `${node} has ${key} of ${await redis.call('GET', key).catch((error: Error) => error.message)}`),
        );
      }),
    ),
  );
  return found.flatMap((keys) => keys ?? []);
}

const WORKERS = 20;

/** Each key once, over several connections. */
async function eachKey(subject: Subject, work: (client: LoadClient, i: number) => Promise<void>): Promise<void> {
  const login = await operatorOf(subject);
  await Promise.all(
    Array.from({ length: WORKERS }, async (_, worker) => {
      const client = createLoadClient(login);
      try {
        for (let i = worker; i < KEYS; i += WORKERS) await work(client, i);
      } finally {
        client.close();
      }
    }),
  );
}

/** Asks until there is an answer: a machine that does a lot of other things may be late with one. @throws Error after 10 s of none */
async function answered(client: LoadClient, command: string, key: string, ...rest: readonly string[]): Promise<unknown> {
  for (let attempt = 0; ; attempt++) {
    const outcome = await client.call(command, key, ...rest);
    if (outcome.end === 'ok') return outcome.value;
    if (attempt > 50) throw new Error(`${command} ${key} has no answer: ${outcome.why}`);
    await sleep(200);
  }
}

/** Writes all keys of a kind. */
export const fill = (subject: Subject, kind = 'key'): Promise<void> =>
  eachKey(subject, async (client, i) => void (await answered(client, 'SET', `${kind}:${i}`, `value ${i}`)));

/** @throws Error naming keys that are gone or changed, and keys of the probe that were left behind. */
export async function expectEveryKey(subject: Subject): Promise<void> {
  const wrong: string[] = [];
  await eachKey(subject, async (client, i) => {
    const value = String(await answered(client, 'GET', `key:${i}`));
    if (value !== `value ${i}`) wrong.push(`key:${i} is ${value}`);
  });
  deepStrictEqual(wrong.slice(0, 10), []);
}

async function grown(
  subject: Subject,
  { generation, shards }: { readonly generation: number; readonly shards: number },
  operation: string,
) {
  const report = await expectHealthy(subject);
  deepStrictEqual(report.generation, generation);
  deepStrictEqual(report.shards.length, shards);
  deepStrictEqual(report.findings, []);
  deepStrictEqual(
    report.shards.reduce((sum, { slotCount }) => sum + slotCount, 0),
    16_384,
  );
  // The probe's own keys are gone with it: which are not, and when they were written, tells why.
  deepStrictEqual(await probeKeys(subject), []);
  deepStrictEqual(
    report.shards.reduce((sum, { keys }) => sum + (keys ?? 0), 0),
    KEYS,
  );
  deepStrictEqual(
    report.journal.filter((entry) => entry.operation === operation).map((entry) => entry.outcome),
    ['done'],
  );
  await expectEveryKey(subject);
}

const provisioned =
  (shards: number, replicasPerShard: number, more: Partial<ClusterSpecInput> = {}) =>
  async (subject: Subject): Promise<void> => {
    await execute(subject, 'provision', { spec: testSpec(subject.cluster, { shards, replicasPerShard, ...more }) });
    await fill(subject);
  };

const scaling = (from: number, to: number, replicas: number, more: object = {}): Survivor => ({
  operation: 'scale',
  prepare: provisioned(from, replicas),
  input: (cluster) => ({ cluster, shards: to, strategy: 'pipelined', ...more }),
  check: (subject: Subject, _: OperationResult) => grown(subject, { generation: 2, shards: to }, 'scale'),
});

/** The last replica of the first shard leads it. */
async function lastLeads(subject: Subject, replicas: number): Promise<void> {
  const node = `${subject.cluster}-0-${replicas}`;
  await asked(subject, node, (redis) => redis.call('CLUSTER', 'FAILOVER'));
  await until(`${node} leads`, () =>
    asked(subject, node, async (redis) => String((await redis.call('ROLE')) as unknown[]).startsWith('master')),
  );
}

/** @param then what is done to the cluster before */
const replicas = (from: number, to: number, then?: (subject: Subject) => Promise<void>): Survivor => ({
  operation: 'scale',
  async prepare(subject) {
    await provisioned(3, from)(subject);
    await then?.(subject);
  },
  input: (cluster) => ({ cluster, replicasPerShard: to }),
  async check(subject) {
    await grown(subject, { generation: 2, shards: 3 }, 'scale');
    const { shards } = await expectHealthy(subject);
    deepStrictEqual(
      shards.map(({ nodes }) => nodes.length),
      shards.map(() => to + 1),
    );
  },
});

export const moreReplicas = replicas(0, 1);
/** One of those that leave leads its shard. */
export const fewerReplicas = replicas(2, 1, (subject) => lastLeads(subject, 2));
export const scaleOut = scaling(3, 4, 0);
export const scaleIn = scaling(4, 3, 0);
/** So slow that there is time to disturb it in the middle, with a replica to fail over to. */
export const slowScaleOut = scaling(3, 4, 1, { limits: { slotsAtOnce: 128, probeP99Ms: 200, nodeAwayMs: 120_000 } });
/** On a server where slots are handed over whether or not a replica has heard of it. */
export const laggingScaleOut: Survivor = {
  ...scaling(3, 4, 1, { limits: { slotsAtOnce: 16, nodeAwayMs: 120_000 } }),
  prepare: provisioned(3, 1, { engine: 'redis', version: '7.0' }),
};
/** The same on one that waits for its replicas before it takes a slot. */
export const waitingScaleOut: Survivor = {
  ...scaling(3, 4, 1, { limits: { slotsAtOnce: 64, nodeAwayMs: 120_000 } }),
};
/** On any server, so slow that many things can happen to it. */
export const scaleOutOf = (engine: Pick<ClusterSpecInput, 'engine' | 'version'>): Survivor => ({
  ...scaling(3, 4, 1, { limits: { slotsAtOnce: 4, nodeAwayMs: 120_000 } }),
  prepare: provisioned(3, 1, engine),
});
export const nativeScaleOut: Survivor = { ...scaling(3, 4, 1), input: (cluster) => ({ cluster, shards: 4, strategy: 'native' }) };
