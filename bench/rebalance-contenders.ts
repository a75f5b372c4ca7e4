import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { valkeyJobs } from '../activities/migration/native.ts';
import { ServerError } from '../activities/redis/protocol.ts';
import { findEngineVersion } from '../config/engines.ts';
import type { MoveReport } from '../config/migration.ts';
import { nodePaths, ports, systemUsers } from '../config/names.ts';
import { planMoves } from '../model/migration/balance.ts';
import { toRanges } from '../model/migration/moves.ts';
import { uniqueName } from '../test/support/clusters.ts';
import type { Stack } from '../test/support/stack.ts';
import { overheadOf } from './history.ts';
import { residentMib } from './measure.ts';
import type { BenchCluster, BenchNode } from './rebalance-cluster.ts';

/** What a contender tells of itself besides the time that it took. */
export interface ContenderNotes {
  readonly moved?: MoveReport;
  /** Resident memory of the worker: when it began, and at its peak. */
  readonly workerMibBefore?: number;
  readonly workerMib?: number;
  readonly events?: number;
}

/** One way of filling the empty shard. */
export interface Contender {
  readonly name: string;
  readonly run: (cluster: BenchCluster) => Promise<ContenderNotes>;
}

const exec = promisify(execFile);
const SAMPLE_MS = 50;
const POLL_MS = 50;

/** The operation as a person starts it: lock, survey, plan, move, verify, journal. */
export const holdfast = (stack: Stack, workerPid: number, strategy: 'native' | 'pipelined'): Contender => ({
  name: strategy === 'native' ? 'holdfast, native' : 'holdfast',
  async run(cluster) {
    const workflowId = `bench/${cluster.name}/${uniqueName('rebalance')}`;
    const workerMibBefore = residentMib(workerPid);
    let workerMib = workerMibBefore;
    const timer = setInterval(() => {
      if (existsSync(`/proc/${workerPid}`)) workerMib = Math.max(workerMib, residentMib(workerPid));
    }, SAMPLE_MS);
    try {
      const { moved } = await cluster.run('rebalance', { cluster: cluster.name, strategy }, workflowId);
      if (moved === undefined || moved.strategy !== strategy) throw new Error(`it was to move slots ${strategy}: ${JSON.stringify(moved)}`);
      return { moved, workerMibBefore, workerMib, events: (await overheadOf(stack.client, workflowId)).events };
    } finally {
      clearInterval(timer);
    }
  },
});

/** The tool of the servers, in the container of the first node. @param pipeline its `--cluster-pipeline`; its default is 10 */
export const redisCli = (pipeline?: number): Contender => ({
  name: `redis-cli ${pipeline ?? 10}`,
  async run({ set, nodes: [node], operatorPassword }) {
    const cli = findEngineVersion(set.engine, set.version)?.cli;
    if (cli === undefined || node === undefined) throw new Error(`no tool for ${set.engine} ${set.version}`);
    const args = [
      ...['exec', '--env', 'REDISCLI_AUTH', node.name, cli, '--user', systemUsers.operator],
      ...(set.tls ? ['--tls', '--cacert', nodePaths.caCert] : []),
      ...['--cluster', 'rebalance', `${node.address}:${ports.server}`, '--cluster-use-empty-masters'],
      ...(pipeline === undefined ? [] : ['--cluster-pipeline', `${pipeline}`]),
    ];
    const { stdout } = await exec('docker', args, { env: { ...process.env, REDISCLI_AUTH: operatorPassword }, maxBuffer: 64 * 1024 ** 2 });
    if (/\[ERR\]|\*\*\*/.test(stdout)) throw new Error(`${cli} did not rebalance: ${stdout.slice(-2000)}`);
    return {};
  },
});

/** CLUSTER MIGRATESLOTS as a person would type it: one job for each source with all its ranges, the same slots that Holdfast plans. */
export const byHand: Contender = {
  name: 'MIGRATESLOTS by hand',
  async run({ nodes, owners }) {
    const map = await owners();
    const shares = nodes.map((_, shard) => ({
      shard,
      weight: 1,
      slots: toRanges(map.flatMap((owner, slot) => (owner === shard ? [slot] : []))),
    }));
    const moves = planMoves(shares, { thresholdPercent: 2 });
    await Promise.all(
      moves.map(({ from, to, slots }) => {
        const [source, destination] = [nodes[from], nodes[to]];
        if (source === undefined || destination === undefined) throw new Error(`no shard ${from} or ${to}`);
        return migrateSlots(source, destination, slots.flat());
      }),
    );
    return {};
  },
};

async function migrateSlots({ wire, name }: BenchNode, destination: BenchNode, bounds: readonly number[]): Promise<void> {
  const before = new Set((await valkeyJobs(wire)).map((job) => job.name));
  const [reply] = await wire.ask([['CLUSTER', 'MIGRATESLOTS', 'SLOTSRANGE', ...bounds, 'NODE', destination.nodeId]]);
  if (reply instanceof ServerError) throw reply;
  for (;;) {
    const job = (await valkeyJobs(wire)).find((one) => one.operation === 'EXPORT' && !before.has(one.name));
    if (job === undefined || job.state === 'failed' || job.state === 'cancelled')
      throw new Error(`the job of ${name} ended: ${JSON.stringify(job)}`);
    if (job.state === 'success') return;
    await pause(POLL_MS);
  }
}
