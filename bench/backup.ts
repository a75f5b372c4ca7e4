import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { ports, systemUsers, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import type { StatusReport } from '../config/status.ts';
import { sweep, testSpec, uniqueName } from '../test/support/clusters.ts';
import { until } from '../test/support/processes.ts';
import { type Stack, startStack } from '../test/support/stack.ts';
import { byPipe, type Contender, holdfast, type Subject, type Turn, takeCli } from './backup-contenders.ts';
import { fillWith, type Kind, VALUE_BYTES } from './backup-data.ts';
import { compiledWorker } from './compiled.ts';
import { median, table, verdictLine } from './measure.ts';
import { takeOption, wholeNumber } from './options.ts';
import { type Felt, whileWriting } from './writer.ts';

/** The memory is promised for 4 GiB of data: less data asks less of it. */
const TARGET = { speed: 0.9, workerMib: 256, mib: 4096 };
const IDLE_MS = 3000;

interface Measured extends Turn {
  readonly felt: Felt;
}

/**
 * A shard into the bucket: sealed by Holdfast, and as it is by the server's own CLI, in turns, under a writer. Options are variables: HOLDFAST_BENCH_ROUNDS (3; in each
 * both kinds of data are backed up by both), HOLDFAST_BENCH_MIB (of data, 4096; two nodes hold it in memory, and the bucket keeps what Holdfast stored), HOLDFAST_BENCH_ONLY (`text` or `random`).
 */
export async function benchBackup(): Promise<void> {
  const rounds = wholeNumber('HOLDFAST_BENCH_ROUNDS', 3);
  const mib = wholeNumber('HOLDFAST_BENCH_MIB', TARGET.mib);
  const only = takeOption('HOLDFAST_BENCH_ONLY');
  const kinds = (['text', 'random'] as const).filter((kind) => only === undefined || kind === only);
  const missed: string[] = [];
  for (const kind of kinds) if (!(await benchKind(kind, mib, rounds))) missed.push(kind);
  console.log(`\ntargets: ${missed.length === 0 ? 'all met' : `MISSED with ${missed.join(', ')}`}\n`);
}

async function benchKind(kind: Kind, mib: number, rounds: number): Promise<boolean> {
  const stack = await startStack({ withWorker: false });
  const cluster = uniqueName('b');
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  interrupted.catch(() => undefined);
  try {
    return await Promise.race([benchCluster(stack, cluster, { kind, mib, rounds }), interrupted]);
  } finally {
    await sweep(stack.dependencies.docker, cluster);
    await stack.stop();
  }
}

async function benchCluster(
  stack: Stack,
  cluster: string,
  { kind, mib, rounds }: { readonly kind: Kind; readonly mib: number; readonly rounds: number },
): Promise<boolean> {
  const worker = stack.startWorker(await compiledWorker());
  const run = <T>(type: string, input: object) =>
    stack.client.workflow.execute(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: uniqueName('bench-'), args: [input] }) as Promise<T>;
  const memory = `${Math.max(256, Math.ceil(mib * 1.8))}Mi`;
  const spec = testSpec(cluster, { mode: 'sentinel', resources: { memory }, persistence: { aof: false }, security: { tls: false } });
  await run('provision', { spec });
  const { shards } = await run<StatusReport>('status', { cluster });
  const node = (role: string) => shards[0]?.nodes.find((one) => one.role === role) ?? { name: '', address: '' };
  const [primary, replica] = [node('primary'), node('replica')];
  const password = (await stack.dependencies.secrets.require(cluster)).system.operator;
  const open = (host: string) => new Redis({ host, port: ports.server, username: systemUsers.operator, password });
  const [redis, follower] = [open(primary.address), open(replica.address)];
  for (const one of [redis, follower]) one.on('error', () => undefined); // calls tell it
  const say = (words: string) => process.stderr.write(`${kind}: ${words}\n`);
  try {
    const keys = Math.ceil((mib * 1024 ** 2) / VALUE_BYTES);
    const value = await fillWith(redis, kind, keys);
    await until('the replica has all', async () => (await follower.dbsize()) === keys, 120_000);
    const subject: Subject = { stack, cluster, replica, password, workerPid: worker.pid };
    const contenders: readonly Contender[] = [holdfast, byPipe(await takeCli(stack, replica.name))];
    const turns = new Map<string, Measured[]>(contenders.map(({ name }) => [name, []]));
    const idle: Felt[] = [];
    for (let round = 0; round < rounds; round++) {
      idle.push((await whileWriting(redis, keys, value, () => pause(IDLE_MS))).felt);
      for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
        const { result, felt } = await whileWriting(redis, keys, value, () => contender.run(subject));
        turns.get(contender.name)?.push({ ...result, felt });
        say(`round ${round + 1} of ${rounds}, ${contender.name}: ${(result.tookMs / 1000).toFixed(1)} s, p99 ${felt.p99.toFixed(1)} ms`);
      }
    }
    return report(
      `${kind}: ${mib} MiB of values of ${VALUE_BYTES} B in one shard, read from its replica, TLS off; medians of ${rounds}`,
      turns,
      idle,
    );
  } finally {
    redis.disconnect();
    follower.disconnect();
  }
}

function report(title: string, turns: ReadonlyMap<string, readonly Measured[]>, idle: readonly Felt[]): boolean {
  const middle = (all: readonly Measured[], of: (turn: Measured) => number) => median(all.map(of));
  const rate = (all: readonly Measured[]) => middle(all, ({ plainBytes, tookMs }) => plainBytes / 1e3 / tookMs);
  const feltCells = (all: readonly Felt[]) => [
    median(all.map(({ p50 }) => p50)).toFixed(1),
    median(all.map(({ p99 }) => p99)).toFixed(1),
    median(all.map(({ max }) => max)).toFixed(0),
  ];
  const rows = [...turns].map(([name, all]) => [
    name,
    (middle(all, ({ tookMs }) => tookMs) / 1000).toFixed(1),
    rate(all).toFixed(0),
    (middle(all, ({ storedBytes }) => storedBytes) / 1024 ** 2).toFixed(0),
    ...feltCells(all.map(({ felt }) => felt)),
  ]);
  const head = ['contender', 's', 'MB/s of RDB', 'MiB stored', 'writer p50', 'p99', 'max ms'];
  const [ours = [], theirs = []] = [...turns.values()];
  const ratio = rate(ours) / rate(theirs);
  const most = Math.max(...ours.map(({ workerMib = 0 }) => workerMib));
  const before = Math.min(...ours.map(({ workerMibBefore = 0 }) => workerMibBefore));
  const verdicts = [
    { words: `${ratio.toFixed(2)} times the speed of the CLI, target at least ${TARGET.speed}`, met: ratio >= TARGET.speed },
    {
      words: `${most.toFixed(0)} MiB resident in the worker at its peak (${before.toFixed(0)} before), target at most ${TARGET.workerMib}`,
      met: most <= TARGET.workerMib,
    },
  ];
  console.log(`\n${title}\n\n${table([head, ...rows, ['idle', '', '', '', ...feltCells(idle)]])}\n`);
  for (const verdict of verdicts) console.log(verdictLine(verdict));
  return verdicts.every(({ met }) => met);
}
