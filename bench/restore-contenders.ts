import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { parseInfo } from '../activities/redis/parse.ts';
import { openWire } from '../activities/redis/wire.ts';
import { findEngineVersion } from '../config/engines.ts';
import { ports, systemUsers } from '../config/names.ts';
import type { OperationResult } from '../config/progress.ts';
import { uniqueName } from '../test/support/clusters.ts';
import { until } from '../test/support/processes.ts';
import type { Stack } from '../test/support/stack.ts';
import { type ActivitySpan, activitiesOf } from './history.ts';
import { timed } from './measure.ts';
import { ENGINE, type LoneServer, makeLoneServer, type Opened, openCluster, run } from './restore-data.ts';

const exec = promisify(execFile);

/** How long a restore took, and its parts; ms. */
export interface Restored {
  /** The whole operation, with containers, forming, checks. */
  readonly tookMs: number;
  /** From the first byte that was asked for to the last key that is served. */
  readonly dataMs: number;
  /** Of it: until all was laid out. Missing when the worker spread the keys among other shards: it lays out as it reads. */
  readonly layOutMs?: number;
  readonly keys: number;
}

const DATA = ['fillShard', 'prepareVolume', 'spreadShard', 'completeVolume', 'awaitLoaded', 'copyShard'];
const spanOf = (spans: readonly ActivitySpan[]): number =>
  Math.max(...spans.map(({ to }) => to)) - Math.min(...spans.map(({ from }) => from));

/** The operation as a person starts it. */
export async function restore(
  stack: Stack,
  input: { readonly cluster: string; readonly backup: string; readonly into: string; readonly changes: object },
): Promise<Restored> {
  const workflowId = `bench/${input.into}/${uniqueName('restore')}`;
  const start = performance.now();
  const { restored } = await run<OperationResult>(stack, 'restore', input, workflowId);
  const tookMs = performance.now() - start;
  const spans = (await activitiesOf(stack.client, workflowId)).filter(({ type }) => DATA.includes(type));
  const laidOut = spans.filter(({ type }) => type === 'fillShard');
  return {
    tookMs,
    dataMs: spanOf(spans),
    ...(laidOut.length === 0 ? {} : { layOutMs: spanOf(laidOut) }),
    keys: restored?.keys ?? 0,
  };
}

/** The same servers, started again on the directories that they were given: all at once, until the last one serves. */
export async function loadAgain(stack: Stack, cluster: string, keys: number): Promise<number> {
  const { docker } = stack.dependencies;
  const { nodes, password, close } = await openCluster(stack, cluster);
  close();
  await Promise.all(nodes.map(({ name }) => docker.getContainer(name).stop()));
  const counts: number[] = [];
  const tookMs = await timed(() =>
    Promise.all(
      nodes.map(async ({ name, address }) => {
        await docker.getContainer(name).start();
        counts.push(
          await until(
            `${name} serves`,
            async () => {
              const wire = await openWire({ address, kind: 'data', password }).catch(() => undefined);
              try {
                const info = wire === undefined ? undefined : parseInfo(String(await wire.one('INFO')));
                return info?.get('loading') === '0' && Number(/keys=(\d+)/.exec(info.get('db0') ?? '')?.[1] ?? 0);
              } finally {
                wire?.close();
              }
            },
            120_000,
          ),
        );
      }),
    ),
  );
  const sum = counts.reduce((total, count) => total + count, 0);
  if (sum !== keys) throw new Error(`the servers loaded ${sum} keys instead of ${keys}`);
  return tookMs;
}

/** The servers' own tool, from as many servers as there were shards. @param atOnce of them are read side by side. @returns keys a second */
export async function importKeys(
  stack: Stack,
  cluster: string,
  { keys, sources, atOnce }: { readonly keys: number; readonly sources: number; readonly atOnce: number },
): Promise<number> {
  const { docker } = stack.dependencies;
  const opened = await openCluster(stack, cluster);
  const from: LoneServer[] = [];
  try {
    for (const { wire } of opened.nodes) await wire.one('FLUSHALL', 'SYNC');
    const each = Math.ceil(keys / sources);
    for (let number = 0; number < sources; number++) from.push(await makeLoneServer(docker, cluster, number, each));
    const left = [...from];
    const lane = async (): Promise<void> => {
      for (let source = left.shift(); source !== undefined; source = left.shift()) await importFrom(opened, source);
    };
    const tookMs = await timed(() => Promise.all(Array.from({ length: atOnce }, lane)));
    const counts = await Promise.all(opened.nodes.map(async ({ wire }) => Number(await wire.one('DBSIZE'))));
    const found = counts.reduce((total, count) => total + count, 0);
    if (found !== each * sources) throw new Error(`${found} keys were imported instead of ${each * sources}`);
    return (found / tookMs) * 1000;
  } finally {
    opened.close();
    for (const server of from) await server.remove();
  }
}

async function importFrom({ nodes: [node], password }: Opened, source: LoneServer): Promise<void> {
  const { cli = '' } = findEngineVersion(ENGINE.engine, ENGINE.version) ?? {};
  const { stdout } = await exec(
    'docker',
    [
      ...['exec', '-e', 'REDISCLI_AUTH', node?.name ?? '', cli, '--user', systemUsers.operator],
      ...['--cluster', 'import', `${node?.address}:${ports.server}`, '--cluster-from', `${source.address}:${ports.server}`],
      ...['--cluster-copy', '--cluster-replace'],
    ],
    { env: { ...process.env, REDISCLI_AUTH: password }, maxBuffer: 1024 ** 3 },
  );
  if (/\[ERR\]/.test(stdout)) throw new Error(`${cli} did not import: ${stdout.slice(-2000)}`);
}
