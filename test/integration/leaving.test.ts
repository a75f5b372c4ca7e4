import keySlot from 'cluster-key-slot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asOperator, withNode } from '../../activities/redis/connection.ts';
import { failures } from '../../config/failures.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { holdings, testSpec } from '../support/clusters.ts';
import { holdAt } from '../support/crash-cancel.ts';
import {
  beginStack,
  endStacks,
  execute,
  expectHealthy,
  onCluster,
  type Subject,
  start,
  stopWorkers,
  worker,
} from '../support/crash-harness.ts';
import { until } from '../support/processes.ts';
import type { Stack } from '../support/stack.ts';
import { asApplication, onNode, refusal } from './ask.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await beginStack();
});
afterAll(endStacks);

const KEYS = 200;
const statusOf = (subject: Subject) => execute<StatusReport>(subject, 'status', { cluster: subject.cluster });
const scale = (subject: Subject, input: object) => execute<OperationResult>(subject, 'scale', { cluster: subject.cluster, ...input });
const holdingsOf = ({ cluster }: Subject) => holdings(stack.dependencies.docker, cluster);

const write = ({ cluster }: Subject, mode: 'cluster' | 'sentinel') =>
  asApplication(
    stack,
    cluster,
    async (app) => {
      for (let i = 0; i < KEYS; i++) await app.set(`key-${i}`, `value-${i}`);
    },
    { mode },
  );
const expectData = ({ cluster }: Subject, mode: 'cluster' | 'sentinel') =>
  asApplication(
    stack,
    cluster,
    async (app) => {
      const wrong: string[] = [];
      for (let i = 0; i < KEYS; i++) if ((await app.get(`key-${i}`)) !== `value-${i}`) wrong.push(`key-${i}`);
      expect(wrong).toEqual([]);
    },
    { mode },
  );

/** By the sentinels, as often as it takes. */
async function failOverTo(subject: Subject, wanted: string): Promise<void> {
  const held = await stack.dependencies.secrets.require(subject.cluster);
  await until(
    `${wanted} is the primary`,
    async () => {
      const { shards, sentinels, verdict } = await statusOf(subject);
      if (verdict !== 'healthy') return undefined; // a failover that is in progress must come to its end before the next one
      if (shards[0]?.nodes.find(({ role }) => role === 'primary')?.name === wanted) return true;
      const target = asOperator(held, true, { kind: 'sentinel', address: sentinels[0]?.address ?? '' });
      await withNode(target, (sentinel) => sentinel.call('SENTINEL', 'FAILOVER', subject.cluster)).catch(() => undefined); // it has begun
      return undefined;
    },
    60_000,
  );
}

test('replicas of a sentinel cluster leave, also when the first operation was stopped in the middle; one that was made the primary after the plan does not', () =>
  onCluster(stack, async (subject) => {
    const { cluster } = subject;
    const [staying, last] = [`${cluster}-0-1`, `${cluster}-0-2`];
    worker(stack);
    await execute(subject, 'provision', { spec: testSpec(cluster, { mode: 'sentinel', replicasPerShard: 3 }) });
    await write(subject, 'sentinel');
    await stopWorkers(stack);

    const doomed = worker(stack, { crashAt: { activity: 'removeNode', occurrence: 1, when: 'after' } });
    const stopped = await start(subject, 'scale', { cluster, replicasPerShard: 2 });
    expect(await doomed.ended).toBe('SIGKILL');
    await stopped.terminate('it shall not go on by itself');
    expect((await holdingsOf(subject)).containers).toHaveLength(6);
    worker(stack);
    expect((await statusOf(subject)).generation).toBe(1);
    expect(await scale(subject, { replicasPerShard: 2 })).toMatchObject({ outcome: 'done', generation: 2 });
    expect(await expectHealthy(subject)).toMatchObject({ findings: [] });
    expect(await holdingsOf(subject)).toMatchObject({ containers: { length: 6 }, volumes: { length: 6 } });

    await onNode(stack, cluster, staying, (node) => node.call('CONFIG', 'SET', 'replica-priority', '200')); // the sentinels take the other one
    await stopWorkers(stack);
    const survivor = { operation: 'scale', input: () => ({ cluster, replicasPerShard: 1 }) } as const;
    const held = await holdAt(subject, survivor, { activity: 'retireNodes', occurrence: 1, when: 'before' });
    await failOverTo(subject, last);
    held.open();
    const refused = await refusal(held.handle.result());
    expect(refused).toMatchObject({ type: failures.refused, message: expect.stringContaining(`${last} is the primary of ${cluster} now`) });
    expect(refused.message).toContain(`SENTINEL FAILOVER ${cluster}`);
    expect((await holdingsOf(subject)).containers).toHaveLength(6);
    expect(await onNode(stack, cluster, last, (node) => node.call('CONFIG', 'GET', 'replica-priority'))).toEqual([
      'replica-priority',
      '100',
    ]);
    await expectData(subject, 'sentinel');
  }));

test('a primary that leaves and came to hold a key is neither forgotten nor removed', () =>
  onCluster(stack, async (subject) => {
    const { cluster } = subject;
    const [first, last] = [`${cluster}-0-0`, `${cluster}-3-0`];
    const on = <T>(node: string, ...command: [string, ...string[]]) =>
      onNode(stack, cluster, node, (redis) => redis.call(...command) as Promise<T>);
    worker(stack);
    await execute(subject, 'provision', { spec: testSpec(cluster, { engine: 'redis', version: '7.0', shards: 4, replicasPerShard: 0 }) });
    await write(subject, 'cluster');
    await stopWorkers(stack);

    const survivor = { operation: 'scale', input: () => ({ cluster, shards: 3 }) } as const;
    const held = await holdAt(subject, survivor, { activity: 'forgetNodes', occurrence: 1, when: 'before' });
    const owner = await on<string>(first, 'CLUSTER', 'MYID');
    await onNode(stack, cluster, last, async (redis) => {
      await redis.call('CLUSTER', 'SETSLOT', String(keySlot('late')), 'IMPORTING', owner);
      await redis.call('ASKING');
      await redis.set('late', 'value');
      await redis.call('CLUSTER', 'SETSLOT', String(keySlot('late')), 'STABLE');
    });
    held.open();
    expect(await refusal(held.handle.result())).toMatchObject({
      type: failures.verificationFailed,
      message: expect.stringContaining(`${last} is a primary and still holds 1 key, so nothing of ${cluster} is forgotten or removed`),
    });
    expect((await holdingsOf(subject)).containers).toHaveLength(4);
    expect(await on<string>(last, 'DBSIZE')).toBe(1);
    expect(await on<string[]>(last, 'CONFIG', 'GET', 'cluster-replica-no-failover')).toEqual(['cluster-replica-no-failover', 'no']);
    expect((await statusOf(subject)).shards.map(({ nodes }) => nodes.length)).toEqual([1, 1, 1, 1]);

    await on(last, 'FLUSHALL');
    expect(await scale(subject, { shards: 3 })).toMatchObject({ outcome: 'done', generation: 2 });
    expect(await expectHealthy(subject)).toMatchObject({ findings: [] });
    await expectData(subject, 'cluster');
  }));
