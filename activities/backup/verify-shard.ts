import type Docker from 'dockerode';
import type { ShardBackup, Verification } from '../../config/backup.ts';
import type { EngineVersion } from '../../config/engines.ts';
import { failures } from '../../config/failures.ts';
import { scratchName } from '../../config/names.ts';
import { inspectContainer, lastLogLines, runInContainer } from '../docker/containers.ts';
import { engineOf, type Scratch, scratchPaths, withScratch } from '../docker/scratch.ts';
import { parseInfo } from '../redis/parse.ts';
import { report } from '../support/beating.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import type { Opening } from './open.ts';
import { openShard, pour, requireSame, tarOf, told, type UnpackDeps } from './unpack.ts';

export interface VerifyDeps extends UnpackDeps {
  readonly docker: Docker;
}

export interface VerifyRequest {
  readonly cluster: string;
  /** Id of the backup. */
  readonly backup: string;
  /** What the manifest says of the shard. */
  readonly shard: ShardBackup;
  readonly how: 'load' | 'checksum';
  /** Memory of the server that loads it. */
  readonly memoryBytes: number;
}

/** What was found, when it is as the manifest says. */
export interface VerifiedShard {
  /** Left out when nothing was loaded. */
  readonly counted?: Verification['shards'][number];
  readonly server?: Verification['server'];
  readonly tookMs: number;
}

/** A server says at least how far it has loaded; one that says nothing for so long hangs. */
const SILENT_MS = 120_000;

/**
 * The stored shard is what the manifest says: every frame opens, both digests are right, and, unless only that was asked for, a server of the same version
 * has loaded it and has as many keys and functions as the source had at that point of its stream. The server has no network and is removed, with its data.
 * @throws BackupNotGood, ObjectDamaged, ObjectMissing
 */
export async function verifyShard(deps: VerifyDeps, request: VerifyRequest): Promise<VerifiedShard> {
  const { cluster, backup, shard, how, memoryBytes } = request;
  const startedAt = Date.now();
  const opening = await openShard(deps, { cluster, backup }, shard);
  if (how === 'checksum') {
    for await (const part of told(opening, shard)) void part;
    requireSame(opening, shard);
    return { tookMs: Date.now() - startedAt };
  }
  const engine = engineOf(shard.server.engine, shard.server.version);
  const asked = { name: scratchName(cluster, backup, shard.shard), backup, engine, memoryBytes };
  return withScratch(deps.docker, asked, async (scratch) => {
    await fill(scratch, opening, shard);
    requireSame(opening, shard);
    await scratch.start();
    const info = await awaitLoaded(deps.docker, scratch, engine, shard);
    return { ...compare(info, shard), tookMs: Date.now() - startedAt };
  });
}

/** The opened bytes go through the engine into the server's folder, as one file whose length the manifest tells: nothing is written down on the way. */
const fill = (scratch: Scratch, opening: Opening, shard: ShardBackup): Promise<void> =>
  pour(tarOf(['data'], [{ name: 'data/dump.rdb', size: shard.object.plainBytes, content: told(opening, shard) }]), scratch.put);

/** INFO of the server when it has loaded everything. @throws BackupNotGood with its last words when it ended */
async function awaitLoaded(
  docker: Docker,
  { name }: Scratch,
  { cli }: EngineVersion,
  { shard }: ShardBackup,
): Promise<ReadonlyMap<string, string>> {
  let loaded = -1;
  for (;;) {
    const fields = await until(
      async () => {
        const info = await runInContainer(docker, name, [cli, '-s', scratchPaths.socket, 'INFO']);
        if (info === undefined) throw await whyItEnded(docker, name, shard);
        const found = parseInfo(info);
        if (found.get('loading') === '0') return found;
        const now = Number(found.get('loading_loaded_bytes') ?? loaded);
        if (now <= loaded) return undefined;
        loaded = now;
        return found;
      },
      {
        timeoutMs: SILENT_MS,
        late: () =>
          fatal(failures.backupNotGood, `the server that loads shard ${shard} does not get on; it said no more for ${SILENT_MS / 1000} s`),
      },
    );
    if (fields.get('loading') === '0') return fields;
    report({ shard, loadedBytes: loaded });
  }
}

async function whyItEnded(docker: Docker, name: string, shard: number): Promise<Error> {
  const container = await inspectContainer(docker, name);
  if (container === undefined) return new Error(`${name} was removed while it loaded`); // by another attempt, or a person: tried again
  const log = await lastLogLines(docker, name, 10);
  return container.State.OOMKilled
    ? fatal(
        failures.hostFull,
        `shard ${shard} needs more memory to be loaded than ${Math.round((container.HostConfig.Memory ?? 0) / 1024 ** 2)} MiB, what its nodes have; give them more (holdfast scale --memory), or verify by checksum. The backup is stored.`,
      )
    : fatal(
        failures.backupNotGood,
        `a server cannot load shard ${shard}; it ended with exit code ${container.State.ExitCode}. Its last lines:\n${log}`,
      );
}

function compare(info: ReadonlyMap<string, string>, shard: ShardBackup): Omit<VerifiedShard, 'tookMs'> {
  const keysOf = (database: number) => Number(/keys=(\d+)/.exec(info.get(`db${database}`) ?? '')?.[1] ?? 0);
  const first = keysOf(shard.database);
  const databases = [...info.keys()].flatMap((field) => /^db(\d+)$/.exec(field)?.[1] ?? []);
  const keys = databases.reduce((sum, database) => sum + keysOf(Number(database)), 0);
  const functions = Number(info.get('number_of_libraries') ?? 0);
  const differs = [
    ...(first === shard.keys ? [] : [`database ${shard.database} has ${first} keys, and had ${shard.keys} when it was stored`]),
    ...(functions === shard.functions ? [] : [`it has ${functions} function libraries, and had ${shard.functions}`]),
  ];
  if (differs.length > 0)
    throw fatal(
      failures.backupNotGood,
      `shard ${shard.shard} loads, but not to what it was: ${differs.join('; ')}. Make another backup, and report this`,
    );
  const version = info.get('valkey_version') ?? info.get('redis_version') ?? '';
  return { counted: { shard: shard.shard, keys, functions }, server: { engine: shard.server.engine, version } };
}
