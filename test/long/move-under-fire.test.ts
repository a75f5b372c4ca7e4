import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { operationHandlers, type Progress } from '../../config/progress.ts';
import { moveStep } from '../../model/plan-rebalance.ts';
import {
  beginStack,
  endStacks,
  expectHealthy,
  onCluster,
  prepared,
  resultOf,
  type Subject,
  start,
  worker,
} from '../support/crash-harness.ts';
import { scaleOutOf, slotsOn } from '../support/crash-scaling.ts';
import { type Running, until } from '../support/processes.ts';
import type { Stack } from '../support/stack.ts';

/**
 * Many things happen to one move of slots, in an order that only a seed knows: people pause it and change its limits, workers are replaced, nodes freeze and
 * die. Where nodes die workers are only replaced in an orderly way: what a primary takes along when it dies only the worker has.
 */
const SEEDS = Array.from({ length: 12 }, (_, i) => i + 1);
const EVENTS = 6;
const ENGINES = [
  { engine: 'valkey', version: '9.1' },
  { engine: 'redis', version: '7.0' },
  { engine: 'valkey', version: '8.1' },
  { engine: 'redis', version: '8.0' },
] as const;
/** A node that was killed is started again when its replica has taken over. */
const BACK_AFTER_MS = 12_000;

let stack: Stack;

beforeAll(async () => {
  stack = await beginStack();
});
afterAll(endStacks);

/** The same numbers for the same seed, each from 0 to 1: mulberry32. */
function numbers(seed: number): () => number {
  let state = seed * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What can happen while slots move to the fourth shard. */
function eventsOf(subject: Subject, handle: WorkflowHandle, next: () => number) {
  const { cluster } = subject;
  const { docker } = stack.dependencies;
  let doer: Running = worker(stack);
  const away = new Set<number>();
  const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T;
  const node = (shard: number, ordinal: number) => docker.getContainer(`${cluster}-${shard}-${ordinal}`);
  const roleOf = async (shard: number) => ((await slotsOn(subject, `${cluster}-${shard}-0`)) > 0 ? 0 : 1);
  const freeze = async (shard: number, ordinal: number, ms: number) => {
    await node(shard, ordinal)
      .pause()
      .catch(() => undefined); // it is away
    await sleep(ms);
    await node(shard, ordinal)
      .unpause()
      .catch(() => undefined);
  };
  const steer = async () => {
    const limits = { slotsAtOnce: 4 + Math.floor(next() * 12), probeP99Ms: 200 + Math.floor(next() * 800) };
    await handle.executeUpdate(operationHandlers.limits, { args: [limits] });
    return `limits ${JSON.stringify(limits)}`;
  };
  /** @param frozenMs for so long its replica hears of nothing, and then only when its primary is gone. @param meanwhile what happens right after that began */
  const kill = async (shard: number, frozenMs: number, meanwhile: () => Promise<unknown> = async () => undefined) => {
    if (away.has(shard)) return 'nothing: it is away already';
    away.add(shard);
    const ordinal = await roleOf(shard);
    const replica = frozenMs > 0 ? freeze(shard, 1 - ordinal, frozenMs + 100) : undefined;
    const diesAt = Date.now() + frozenMs;
    await sleep(Math.min(1400, frozenMs));
    const what = await meanwhile();
    await sleep(Math.max(0, diesAt - Date.now()));
    await node(shard, ordinal)
      .kill({ signal: 'SIGKILL' })
      .catch(() => undefined);
    await replica;
    setTimeout(() => {
      void node(shard, ordinal)
        .start()
        .catch(() => undefined)
        .then(() => sleep(BACK_AFTER_MS))
        .then(() => away.delete(shard));
    }, BACK_AFTER_MS);
    return `${cluster}-${shard}-${ordinal} died${frozenMs > 0 ? `, ${frozenMs} ms after its replica was frozen` : ''}${what === undefined ? '' : `, and ${what}`}`;
  };
  const replace = async (signal: 'SIGTERM' | 'SIGKILL') => {
    const former = doer;
    doer = worker(stack);
    void former.kill(signal);
    return `a worker ended by ${signal}`;
  };
  const common = [
    steer,
    async () => {
      await handle.executeUpdate(operationHandlers.pause);
      await sleep(next() * 4000);
      await handle.executeUpdate(operationHandlers.resume);
      return 'paused and resumed';
    },
    async () => {
      const [shard, ordinal, ms] = [Math.floor(next() * 4), Math.floor(next() * 2), 500 + next() * 2500];
      await freeze(shard, ordinal, ms);
      return `${cluster}-${shard}-${ordinal} was frozen for ${Math.round(ms)} ms`;
    },
    async () => {
      await stack.restartTemporal();
      return 'Temporal was started again';
    },
  ];
  const nodesDie = [
    () => kill(3, 0),
    () => kill(3, 1400),
    () => kill(3, 5000, steer), // the attempt has long ended then, but for the copies that it holds
    () => kill(Math.floor(next() * 3), 1400),
    () => replace('SIGTERM'),
  ];
  const workersDie = [() => replace('SIGKILL'), () => replace('SIGTERM')];
  return (seed: number) => pick([...common, ...(seed % 3 === 0 ? workersDie : nodesDie)])();
}

test.each(SEEDS)('a move of slots ends well, with every key, whatever happens to it (seed %i)', { timeout: 400_000 }, async (seed) => {
  const survivor = scaleOutOf(ENGINES[seed % ENGINES.length] ?? ENGINES[0]);
  const next = numbers(seed);
  const told: string[] = [];
  await onCluster(stack, async (subject) => {
    await prepared(subject, survivor);
    const handle = await start(subject, survivor.operation, survivor.input(subject.cluster));
    const happen = eventsOf(subject, handle, next);
    await until('slots have moved', async () => (await slotsOn(subject, `${subject.cluster}-3-0`)) > 100, 60_000);
    try {
      for (let event = 0; event < EVENTS; event++) {
        const { steps } = await handle.query<Progress>(operationHandlers.progress).catch(() => ({ steps: [] }));
        if (steps.some(({ name, state }) => name === moveStep && state === 'done')) break;
        told.push(await happen(seed).catch((error: unknown) => `refused: ${String(error).slice(0, 80)}`));
        await sleep(next() * 2500);
      }
      await handle.signal(operationHandlers.limits, { probeP99Ms: 1000, slotsAtOnce: 256 }).catch(() => undefined);
      const result = await resultOf(handle);
      expect(result).toMatchObject({ outcome: 'done', moved: { slots: 4096, ledger: { lost: 0 } } });
      // One that died in the last moment comes back by itself.
      await until('every node is back', async () => (await expectHealthy(subject).catch(() => undefined)) !== undefined, 60_000);
      await survivor.check(subject, result);
    } finally {
      process.stdout.write(`  seed ${seed}: ${told.join('; ')}\n`);
    }
  });
});
