import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { sweep, testSpec, uniqueName } from '../support/clusters.ts';
import { until } from '../support/processes.ts';
import { type Stack, startStack } from '../support/stack.ts';
import { asApplication, ask, refusal } from './ask.ts';

let stack: Stack;
const clusters: string[] = [];

beforeAll(async () => {
  stack = await startStack();
});

afterAll(async () => {
  for (const name of clusters) await sweep(stack.dependencies.docker, name);
  await stack.stop();
});

const KEYS = 300;

/** A cluster with data, of which the node that is the first primary loses its container and its volume. */
async function loseFirstPrimary(mode: 'cluster' | 'sentinel') {
  const name = uniqueName();
  clusters.push(name);
  const spec = testSpec(name, { mode });
  await ask(stack, 'provision', { spec });
  await asApplication(
    stack,
    name,
    async (app) => {
      for (let i = 0; i < KEYS; i++) await app.set(`key-${i}`, `value-${i}`);
    },
    { mode },
  );
  const node = `${name}-0-0`;
  await stack.dependencies.docker.getContainer(node).remove({ force: true });
  await stack.dependencies.docker.getVolume(`${node}-data`).remove();
  return { name, spec, node };
}

/** Until another node has taken over. */
const takenOver = (name: string, node: string) =>
  until(
    'a replica has been promoted',
    async () => {
      const { shards } = await ask<StatusReport>(stack, 'status', { cluster: name });
      const [first] = shards;
      return first?.nodes.some((one) => one.role === 'primary' && one.name !== node && (first.slotCount > 0 || shards.length === 1));
    },
    60_000,
  );

for (const mode of ['cluster', 'sentinel'] as const) {
  test(`a primary that lost its volume comes back as a replica and no key is lost, in ${mode} mode`, async () => {
    const { name, spec, node } = await loseFirstPrimary(mode);
    const early = await refusal(ask(stack, 'provision', { spec }));
    expect(early.type).toBe('PlanRefused');
    expect(early.message).toContain(`${node} has lost its volume, and cannot come back empty`);
    await takenOver(name, node);
    const result = await ask<OperationResult>(stack, 'provision', { spec });
    expect(result.outcome).toBe('done');
    const status = await ask<StatusReport>(stack, 'status', { cluster: name });
    expect(status.verdict).toBe('healthy');
    expect(status.shards[0]?.nodes.find((one) => one.name === node)?.role).toBe('replica');
    await asApplication(
      stack,
      name,
      async (app) => {
        for (let i = 0; i < KEYS; i++) expect(await app.get(`key-${i}`)).toBe(`value-${i}`);
      },
      { mode },
    );
    await ask(stack, 'deprovision', { cluster: name, confirm: name });
  });
}

test('a dry run leaves a frozen primary that was replaced as it is', async () => {
  const name = uniqueName();
  clusters.push(name);
  await ask(stack, 'provision', { spec: testSpec(name) });
  const frozen = stack.dependencies.docker.getContainer(`${name}-0-0`);
  const before = (await frozen.inspect()).State.StartedAt;
  await frozen.pause();
  await takenOver(name, `${name}-0-0`);
  const dryRun = { cluster: name, dryRun: true };
  const repair = await ask<OperationResult>(stack, 'repair', dryRun);
  const rebalance = await ask<OperationResult>(stack, 'rebalance', { ...dryRun, weights: { 0: 2 } });
  expect([repair.outcome, rebalance.outcome]).toEqual(['planned', 'planned']);
  const { Paused, StartedAt } = (await frozen.inspect()).State;
  expect({ Paused, StartedAt }).toEqual({ Paused: true, StartedAt: before });
  await frozen.unpause();
  await until('it follows', async () => (await ask<StatusReport>(stack, 'status', { cluster: name })).verdict === 'healthy', 60_000);
});
