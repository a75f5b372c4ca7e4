import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import { cancellationSignal } from '@temporalio/activity';
import type Docker from 'dockerode';
import { pack } from 'tar-stream';
import type { ShardBackup, Verification } from '../../config/backup.ts';
import type { EngineVersion } from '../../config/engines.ts';
import { failures } from '../../config/failures.ts';
import { scratchName } from '../../config/names.ts';
import { inspectContainer, lastLogLines, NODE_UID, runInContainer } from '../docker/containers.ts';
import { engineOf, makeScratch, type Scratch, scratchPaths } from '../docker/scratch.ts';
import { parseInfo } from '../redis/parse.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import type { StreamStore } from '../storage/object-store.ts';
import { report } from '../support/beating.ts';
import { fatal } from '../support/failure.ts';
import { until } from '../support/until.ts';
import { type Opening, openStream } from './open.ts';

export interface VerifyDeps {
  readonly docker: Docker;
  readonly secrets: SecretStore;
  readonly store: StreamStore;
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
  const { secrets, store } = deps;
  const { cluster, backup, shard, how, memoryBytes } = request;
  const startedAt = Date.now();
  const ring = await secrets.keyRing(cluster);
  const opening = openStream(store.getStream(shard.key, { signal: cancellationSignal() }), {
    name: shard.key,
    kekById: ring.byId,
    id: shard.object.id,
  });
  if (how === 'checksum') {
    for await (const part of told(opening, shard)) void part;
    requireSame(opening, shard);
    return { tookMs: Date.now() - startedAt };
  }
  const engine = engineOf(shard.server.engine, shard.server.version);
  const scratch = await makeScratch(deps.docker, { name: scratchName(cluster, backup, shard.shard), backup, engine, memoryBytes });
  let failure: unknown;
  try {
    await fill(scratch, opening, shard);
    requireSame(opening, shard);
    await scratch.start();
    const info = await awaitLoaded(deps.docker, scratch, engine, shard);
    return { ...compare(info, shard), tookMs: Date.now() - startedAt };
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await scratch.remove().catch((error: unknown) => {
      if (failure === undefined) throw error; // tried again: nothing may be left behind
    });
  }
}

/** The plain bytes, with how far they are in the heartbeats. */
async function* told(opening: Opening, { shard, object }: ShardBackup): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const part of opening.bytes) {
    bytes += part.length;
    report({ shard, bytes, of: object.plainBytes });
    yield part;
  }
}

function requireSame(opening: Opening, { key, object }: ShardBackup): void {
  if (isDeepStrictEqual(opening.facts(), object)) return;
  throw fatal(
    failures.objectDamaged,
    `${key} opens, but it is not what the manifest describes: ${JSON.stringify(opening.facts())}. Was one of them replaced?`,
  );
}

/** The opened bytes go through the engine into the server's folder, as one file whose length the manifest tells: nothing is written down on the way. */
async function fill(scratch: Scratch, opening: Opening, shard: ShardBackup): Promise<void> {
  const stop = new AbortController();
  let cause: unknown;
  const tar = Readable.from(tarOf('data', 'dump.rdb', shard.object.plainBytes, told(opening, shard)));
  // Whoever reads it does not notice that it broke.
  tar.once('error', (error) => {
    cause = error;
    stop.abort();
  });
  try {
    await scratch.put(tar, stop.signal);
  } catch (error) {
    throw cause ?? error;
  } finally {
    tar.destroy();
  }
}

const BLOCK_BYTES = 512;

/** A tar archive of one file in a folder, both of a node's user. */
async function* tarOf(folder: string, file: string, size: number, content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const owner = { uid: NODE_UID, gid: NODE_UID };
  const tar = pack();
  tar.entry({ name: folder, type: 'directory', mode: 0o700, ...owner });
  tar.entry({ name: `${folder}/${file}`, mode: 0o600, size, ...owner });
  let heads = 0;
  for await (const head of tar) {
    heads += (head as Buffer).length;
    yield head as Buffer;
    if (heads === 2 * BLOCK_BYTES) break;
  }
  yield* content;
  yield Buffer.alloc(((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES) + 2 * BLOCK_BYTES);
}

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
