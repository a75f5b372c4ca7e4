import { setTimeout as pause } from 'node:timers/promises';
import { sweep, uniqueName } from '../test/support/clusters.ts';
import { type Running, until } from '../test/support/processes.ts';
import { type Stack, startStack } from '../test/support/stack.ts';
import type { ClientProbeReport } from './client-probe.ts';
import { compiledWorker } from './compiled.ts';
import { cpuSeconds } from './measure.ts';
import { takeOption, wholeNumber } from './options.ts';
import { type BenchCluster, type DataSet, makeCluster } from './rebalance-cluster.ts';
import { byHand, type Contender, holdfast, redisCli } from './rebalance-contenders.ts';
import { underProbe } from './rebalance-probe.ts';
import { reportSet, type SetResult, type Turn } from './rebalance-report.ts';

const IDLE_MS = 3000;

/**
 * From three primaries to four, under a client: Holdfast against redis-cli, and the servers' own migration by Holdfast against the same by hand.
 * Options are variables: HOLDFAST_BENCH_ROUNDS, HOLDFAST_BENCH_KEYS (of the sets of small keys; the sets of large keys have a twentieth),
 * HOLDFAST_BENCH_ONLY (ids of sets, with commas) and HOLDFAST_BENCH_ALL (also those that are left out otherwise).
 */
export async function benchRebalance(): Promise<void> {
  const rounds = wholeNumber('HOLDFAST_BENCH_ROUNDS', 3);
  const sets = chosenSets(
    wholeNumber('HOLDFAST_BENCH_KEYS', 4_000_000),
    takeOption('HOLDFAST_BENCH_ONLY'),
    takeOption('HOLDFAST_BENCH_ALL'),
  );
  const missed: string[] = [];
  const stack = await startStack({ withWorker: false });
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  interrupted.catch(() => undefined);
  try {
    const worker = stack.startWorker(await compiledWorker());
    await until('the worker runs', async () => stack.workerLog().includes('holdfast worker runs')).catch((error: unknown) => {
      throw new Error(`${String(error)}; its log ends with: ${stack.workerLog().slice(-2000)}`);
    });
    for (const set of sets) {
      const { text, met } = reportSet(await benchSet(stack, worker, set, rounds, interrupted));
      console.log(text);
      if (!met) missed.push(set.id);
    }
  } finally {
    await stack.stop();
  }
  console.log(`\ntargets: ${missed.length === 0 ? 'all met' : `MISSED in ${missed.join(', ')}`}\n`);
}

function chosenSets(keys: number, only: string | undefined, everything: string | undefined): readonly DataSet[] {
  const redis7 = { engine: 'redis', version: '7.0', tls: false, keys, valueBytes: 100 } as const;
  const large = { ...redis7, keys: Math.ceil(keys / 20), valueBytes: 4096 };
  const usual: readonly DataSet[] = [
    { id: 'small', ...redis7 },
    { id: 'small-tls', ...redis7, tls: true },
    { id: 'large', ...large },
    { id: 'native', ...redis7, engine: 'valkey', version: '9.1' },
  ];
  const more: readonly DataSet[] = [
    { id: 'large-tls', ...large, tls: true },
    { id: 'small-redis8', ...redis7, version: '8.0' },
  ];
  const all = [...usual, ...more];
  if (only === undefined) return everything === undefined ? usual : all;
  const ids = only.split(',');
  const unknown = ids.filter((id) => !all.some((set) => set.id === id));
  if (unknown.length > 0) throw new Error(`no set ${unknown.join(', ')}; there are ${all.map(({ id }) => id).join(', ')}`);
  return all.filter(({ id }) => ids.includes(id));
}

async function benchSet(stack: Stack, worker: Running, set: DataSet, rounds: number, interrupted: Promise<never>): Promise<SetResult> {
  const contenders =
    set.engine === 'valkey'
      ? [holdfast(stack, worker.pid, 'native'), byHand]
      : [holdfast(stack, worker.pid, 'pipelined'), redisCli(), redisCli(1000)];
  const turns = new Map<string, Turn[]>(contenders.map(({ name }) => [name, []]));
  const idle: ClientProbeReport[] = [];
  const say = (words: string) => process.stderr.write(`${set.id}: ${words}\n`);
  const name = uniqueName('b');
  const work = async () => {
    const cluster = await makeCluster(stack, set, name);
    for (let round = 0; round < rounds; round++) {
      // Another one begins each round, so that none is always the first one after the calm.
      const order = contenders.map((_, index) => contenders[(index + round) % contenders.length]).filter((one) => one !== undefined);
      for (const [index, contender] of order.entries()) {
        const keysOfSlots = await cluster.restore();
        if (index === 0) idle.push((await underProbe(cluster.probeOrder, () => pause(IDLE_MS))).felt);
        const turn = await takeTurn(cluster, contender, keysOfSlots);
        turns.get(contender.name)?.push(turn);
        say(
          `round ${round + 1} of ${rounds}, ${contender.name}: ${(turn.tookMs / 1000).toFixed(1)} s, ${turn.keys} keys, p99 ${turn.felt.p99.toFixed(1)} ms`,
        );
      }
    }
    await cluster.remove();
  };
  try {
    await Promise.race([work(), interrupted]);
  } catch (error) {
    await worker.kill('SIGKILL'); // whatever it does to the cluster, it must not go on
    await sweep(stack.dependencies.docker, name);
    throw error;
  }
  return { set, turns, idle };
}

async function takeTurn(cluster: BenchCluster, contender: Contender, keysOfSlots: Uint32Array): Promise<Turn> {
  const before = await cluster.owners();
  const used = () => cluster.nodes.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
  const usedBefore = used();
  const { result, felt } = await underProbe(cluster.probeOrder, async () => {
    const start = performance.now();
    const notes = await contender.run(cluster);
    return { ...notes, tookMs: performance.now() - start, serversCpuSeconds: used() - usedBefore };
  });
  const after = await cluster.owners();
  const slots = after.flatMap((shard, slot) => (shard === before[slot] ? [] : [slot]));
  if (slots.length === 0) throw new Error(`${contender.name} moved nothing`);
  await cluster.checkKeys(`after ${contender.name}`);
  return { ...result, slots: slots.length, keys: slots.reduce((sum, slot) => sum + (keysOfSlots[slot] ?? 0), 0), felt };
}
