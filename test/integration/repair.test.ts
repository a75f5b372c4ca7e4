import { setTimeout as sleep } from 'node:timers/promises';
import calculateSlot from 'cluster-key-slot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodePaths, systemUsers } from '../../config/names.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { expectEveryKey, fill, KEYS } from '../support/crash-scaling.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { ask, onNode, refusal } from './ask.ts';

let stack: Stack;
const cluster = uniqueName();

beforeAll(async () => {
  stack = await startStack();
  await ask(stack, 'provision', { spec: testSpec(cluster, { engine: 'redis', version: '7.0', replicasPerShard: 0 }) });
  await fill({ stack, cluster });
});
afterAll(async () => {
  await sweep(stack.dependencies.docker, cluster);
  await stack.stop();
});

const status = () => ask<StatusReport>(stack, 'status', { cluster });
const repair = (more: object = {}) => ask<OperationResult>(stack, 'repair', { cluster, ...more });
const nodeId = (node: string) => onNode(stack, cluster, node, async (redis) => String(await redis.call('CLUSTER', 'MYID')));
const openSlots = async () => (await status()).findings.filter(({ code }) => code === 'slots-open');

/** Of one slot. */
const TAGGED = 20_000;

/** A hash tag of one of the first slots that leave the first shard. */
function firstTag(): readonly [tag: string, slot: number] {
  for (let i = 0; ; i++) if (calculateSlot(`${i}`) < 300) return [`${i}`, calculateSlot(`${i}`)];
}

/** The server's own tool, in a node's container, as the process that it is for this host. */
async function reshard(slots: number): Promise<{ readonly signal: (signal: NodeJS.Signals) => Promise<void> }> {
  const { system } = await stack.dependencies.secrets.require(cluster);
  const [from, to] = await Promise.all([nodeId(`${cluster}-0-0`), nodeId(`${cluster}-1-0`)]);
  const tls = ['--tls', '--cacert', nodePaths.caCert, '--user', systemUsers.operator];
  const { address } = (await status()).shards[0]?.nodes[0] ?? { address: '' };
  const args = ['redis-cli', ...tls, '--cluster', 'reshard', `${address}:6379`];
  const what = ['--cluster-from', from, '--cluster-to', to, '--cluster-slots', String(slots), '--cluster-yes', '--cluster-pipeline', '1'];
  const exec = await stack.dependencies.docker
    .getContainer(`${cluster}-0-0`)
    .exec({ Cmd: [...args, ...what], Env: [`REDISCLI_AUTH=${system.operator}`], AttachStdout: true, AttachStderr: true });
  const output = await exec.start({ hijack: true, stdin: false });
  await until('redis-cli runs', async () => (await exec.inspect()).Pid > 0);
  let said = '';
  output.on('data', (data: Buffer) => {
    said = (said + data.toString()).slice(-500);
  });
  return {
    async signal(signal) {
      const { Pid, ExitCode } = await exec.inspect();
      if (ExitCode !== null) throw new Error(`redis-cli has ended, and said: ${said}`);
      process.kill(Pid, signal);
    },
  };
}

test('slots that a killed redis-cli left open are closed, and every key is there', { timeout: 150_000 }, async () => {
  // A slot takes it a millisecond, but one with all these keys, which it sends one at a time, takes it seconds.
  const [tag, slot] = firstTag();
  await onNode(stack, cluster, `${cluster}-0-0`, async (redis) => {
    for (let at = 0; at < TAGGED; at += 1000)
      await redis.mset(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`{${tag}}${at + i}`, 'tagged'])));
  });
  const cli = await reshard(4000);
  await until(
    `redis-cli is in the middle of slot ${slot}`,
    async () => (await openSlots()).some(({ message }) => message.includes(`[${slot}-`)),
    90_000,
  );
  await cli.signal('SIGKILL');
  await sleep(100); // the last command that it sent is carried out
  const planned = await repair({ dryRun: true });
  expect(planned.plan.steps).toHaveLength(1);
  expect(planned.plan.steps[0]?.change).toMatch(new RegExp(`${cluster}-[01]-0`));
  expect(planned.plan.moves !== undefined).toBe(planned.plan.steps[0]?.change.includes('move what is left'));
  expect((await openSlots()).length).toBeGreaterThan(0);
  expect(await repair()).toMatchObject({ outcome: 'done' });
  expect(await status()).toMatchObject({ verdict: 'healthy', findings: [] });
  await expectEveryKey({ stack, cluster });
  const { shards } = await status();
  expect(shards.reduce((sum, { keys = 0 }) => sum + keys, 0)).toBe(KEYS + TAGGED);
  expect(await repair()).toMatchObject({ outcome: 'unchanged' });
});

test('a scale is refused while slots are open, and says what to do', { timeout: 60_000 }, async () => {
  const [first, second] = [await nodeId(`${cluster}-0-0`), await nodeId(`${cluster}-1-0`)];
  const { slots } = (await status()).shards[0] ?? { slots: [] };
  const slot = slots[0]?.split('-')[0] ?? '';
  await onNode(stack, cluster, `${cluster}-1-0`, (redis) => redis.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', first));
  await onNode(stack, cluster, `${cluster}-0-0`, (redis) => redis.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', second));
  expect(await refusal(ask(stack, 'scale', { cluster, shards: 4 }))).toMatchObject({
    type: 'PlanRefused',
    message: expect.stringContaining(`holdfast repair ${cluster}`),
  });
  expect(await repair()).toMatchObject({ outcome: 'done' });
  expect(await status()).toMatchObject({ verdict: 'healthy', findings: [] });
  await expectEveryKey({ stack, cluster });
});
