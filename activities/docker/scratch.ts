import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { type EngineVersion, findEngineVersion } from '../../config/engines.ts';
import { failures } from '../../config/failures.ts';
import { labels, nodePaths } from '../../config/names.ts';
import { fatal } from '../support/failure.ts';
import { NODE_UID } from './containers.ts';
import { engineCall, engineFailure, statusOf } from './engine.ts';
import { ensureImage } from './images.ts';

/** A server that is made to look at data once. */
export interface ScratchRequest {
  /** Of the container and the volume. What has it already is removed first: an earlier attempt left it. */
  readonly name: string;
  /** The backup that it is made for. */
  readonly backup: string;
  readonly engine: EngineVersion;
  readonly memoryBytes: number;
  /**
   * It serves in a network, at this address, with the configuration that is put into its volume, which is mounted as a node's. Without it the server reaches nothing and
   * only looks.
   */
  readonly serves?: { readonly network: string; readonly address: string };
}

/** A container with a volume, not started yet. */
export interface Scratch {
  readonly name: string;
  /** Copies the files of a tar archive into its folder. Their names begin with `data/`, unless it serves. `signal` gives the copy up. */
  put(tar: Readable, signal: AbortSignal): Promise<void>;
  start(): Promise<void>;
  /** Removes both, whatever state they are in, also for a cancelled activity. What another attempt has made by then stays. */
  remove(): Promise<void>;
}

const MOUNT = '/scratch';
export const scratchPaths = { mount: MOUNT, data: `${MOUNT}/data`, socket: `${MOUNT}/data/server.sock` } as const;

/** The image of a server as INFO tells its version. @throws FormatNotSupported when the catalogue has none */
export function engineOf(engine: EngineVersion['engine'], version: string): EngineVersion {
  const found = findEngineVersion(engine, version.split('.').slice(0, 2).join('.'));
  if (found !== undefined) return found;
  throw fatal(
    failures.formatNotSupported,
    `no image of ${engine} ${version} is known: verify it by checksum, or use a version of Holdfast that knows it`,
  );
}

/**
 * Makes a server that reaches nothing and that nothing reaches but the engine: no network, an unprivileged user, no capability, a socket in its own
 * folder. It is told to be a replica of nobody: a replica keeps keys that have expired, so that all that was loaded can be counted.
 */
async function makeScratch(docker: Docker, { name, backup, engine, memoryBytes, serves }: ScratchRequest): Promise<Scratch> {
  await ensureImage(docker, engine.image);
  await removeScratch(docker, name);
  const mount = serves === undefined ? MOUNT : nodePaths.mount;
  const marks = { [labels.scratch]: backup };
  await engineCall(`make volume ${name}`, () => docker.createVolume({ Name: name, Labels: marks }));
  const container = await engineCall(`make ${name}`, () =>
    docker.createContainer({
      name,
      Image: engine.image,
      Entrypoint: [engine.server, ...(serves === undefined ? serverArguments() : [nodePaths.serverConf])],
      Cmd: [],
      User: `${NODE_UID}:${NODE_UID}`,
      WorkingDir: mount,
      Labels: marks,
      HostConfig: {
        Memory: memoryBytes,
        MemorySwap: memoryBytes,
        RestartPolicy: { Name: 'no' },
        PidsLimit: 64,
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges'],
        ReadonlyRootfs: true,
        Mounts: [{ Type: 'volume', Source: name, Target: mount }],
        NetworkMode: serves?.network ?? 'none',
        LogConfig: { Type: 'json-file', Config: { 'max-size': '1m', 'max-file': '1' } },
      },
      ...(serves === undefined
        ? {}
        : { NetworkingConfig: { EndpointsConfig: { [serves.network]: { IPAMConfig: { IPv4Address: serves.address } } } } }),
    }),
  );
  return {
    name,
    put: async (tar, abortSignal) => {
      await engineCall(`copy data to ${name}`, () => container.putArchive(tar, { path: mount, abortSignal }));
    },
    start: async () => {
      await engineCall(`start ${name}`, () => container.start());
    },
    remove: () => removeBoth(docker, container.id, name),
  };
}

const serverArguments = (): readonly string[] => [
  ...['--port', '0', '--unixsocket', scratchPaths.socket, '--dir', scratchPaths.data, '--dbfilename', 'dump.rdb'],
  ...['--save', '', '--appendonly', 'no', '--replicaof', '127.0.0.1', '1', '--loglevel', 'notice'],
];

/** The container and the volume of that name are gone. */
export const removeScratch = (docker: Docker, name: string): Promise<void> => removeBoth(docker, name, name);

/** Every container and volume that was made to verify a backup is gone: what attempts left that nobody waits for any more. */
export async function removeScratches(docker: Docker, backup: string): Promise<void> {
  const filters = { label: [`${labels.scratch}=${backup}`] };
  const [containers, volumes] = await engineCall('look for scratch servers', () =>
    Promise.all([docker.listContainers({ all: true, filters }), docker.listVolumes({ filters })]),
  );
  const names = new Set([...containers.map(({ Names }) => Names[0]?.slice(1) ?? ''), ...volumes.Volumes.map(({ Name }) => Name)]);
  for (const name of names) await removeScratch(docker, name);
}

async function removeBoth(docker: Docker, container: string, volume: string): Promise<void> {
  await unless([404, 409], `remove ${volume}`, () => docker.getContainer(container).remove({ force: true, v: true }));
  // 409: another attempt uses it, and removes it.
  await unless([404, 409], `remove volume ${volume}`, () => docker.getVolume(volume).remove());
}

/** Not `engineCall`: a cancelled activity must tidy up. */
async function unless(statuses: readonly number[], doing: string, call: () => Promise<unknown>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!statuses.includes(statusOf(error) ?? 0)) throw engineFailure(error, doing);
  }
}

/** Makes one, and removes it however its use ends. That it could not be removed is told when nothing else went wrong. */
export async function withScratch<T>(docker: Docker, request: ScratchRequest, use: (scratch: Scratch) => Promise<T>): Promise<T> {
  const scratch = await makeScratch(docker, request);
  let failure: unknown;
  try {
    return await use(scratch);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    await scratch.remove().catch((error: unknown) => {
      if (failure === undefined) throw error; // tried again: nothing may be left behind
    });
  }
}
