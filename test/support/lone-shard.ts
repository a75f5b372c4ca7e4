import { randomBytes } from 'node:crypto';
import type Docker from 'dockerode';
import { Redis } from 'ioredis';
import { pack } from 'tar-stream';
import type { ReplicationTarget } from '../../activities/replication/link.ts';
import { issueNodeCertificate, type KeyPair, makeCa } from '../../activities/secrets/certificates.ts';
import { type ClusterSpec, clusterSpec } from '../../config/cluster-spec.ts';
import { type Engine, findEngineVersion } from '../../config/engines.ts';
import { nodeName, nodePaths, ports, systemUsers } from '../../config/names.ts';
import { nodeIdOf } from '../../model/layout.ts';
import { renderAcl, renderServerConf } from '../../model/server-conf.ts';
import { renderNodesConf } from '../../model/topology.ts';
import { testSpec, uniqueName } from './clusters.ts';
import { until } from './processes.ts';

export interface ShardKind {
  readonly engine: Engine;
  readonly version: string;
  readonly mode: 'cluster' | 'sentinel';
  readonly tls: boolean;
}

/** A server of a test's own. */
export interface ShardNode {
  readonly address: string;
  /** As the operator. */
  readonly redis: Redis;
  /** As the replication user. */
  readonly target: ReplicationTarget;
  /** The primary's and the replica's place in the stream. */
  offset(): Promise<number>;
  role(): Promise<string>;
}

/** A primary and its replica with the configuration and the users that Holdfast gives to nodes, and nothing else of it: no Temporal, no worker. */
export interface LoneShard {
  readonly spec: ClusterSpec;
  readonly primary: ShardNode;
  readonly replica: ShardNode;
  stop(): Promise<void>;
}

export interface PlacedFile {
  readonly path: string;
  readonly content: string | Buffer;
}

/** Copies files into a container, in this order. */
export async function place(container: Docker.Container, files: readonly PlacedFile[]): Promise<void> {
  const tar = pack();
  for (const { path, content } of files) tar.entry({ name: path.slice(1) }, Buffer.from(content as string));
  tar.finalize();
  const parts: Buffer[] = [];
  for await (const part of tar) parts.push(part as Buffer);
  await container.putArchive(Buffer.concat(parts), { path: '/' });
}

/** Of every configuration here: tests ask for digests. */
const LAST_LINE = 'enable-debug-command yes';

/** Starts the engine's server as soon as its configuration is there; its address is known before. */
export async function startServer(docker: Docker, image: string, server: string, network: 'bridge' | 'none'): Promise<Docker.Container> {
  // Its last line: a file is there before all of it is.
  const wait = `until grep -qs '^${LAST_LINE}$' ${nodePaths.serverConf}; do sleep 0.05; done; mkdir -p ${nodePaths.db}; exec ${server} ${nodePaths.serverConf}`;
  const container = await docker.createContainer({
    name: `holdfast-test-${uniqueName()}`,
    Image: image,
    Entrypoint: ['sh', '-c', wait],
    Cmd: [],
    HostConfig: { NetworkMode: network, AutoRemove: true },
  });
  await container.start();
  return container;
}

export async function startLoneShard(docker: Docker, { engine, version, mode, tls }: ShardKind): Promise<LoneShard> {
  const name = uniqueName();
  const spec = clusterSpec.parse(
    testSpec(name, { engine, version, mode, security: { tls }, persistence: { aof: false }, resources: { memory: '1Gi' } }),
  );
  const { image, server } = findEngineVersion(engine, version) ?? { image: '', server: '' };
  const password = randomBytes(12).toString('hex');
  const passwords = { operator: password, replication: `${password}r`, sentinel: `${password}s` };
  const ca = await makeCa(name);
  const containers = [await startServer(docker, image, server, 'bridge'), await startServer(docker, image, server, 'bridge')];
  const stop = async () => {
    await Promise.all(containers.map((container) => container.remove({ force: true, v: true })));
  };
  try {
    const addresses = await Promise.all(containers.map(addressOf));
    const nodes = await Promise.all(
      containers.map(async (container, ordinal) => {
        await configure(container, addresses, ordinal);
        return connect(addresses[ordinal] ?? '');
      }),
    );
    const [primary, replica] = nodes;
    if (primary === undefined || replica === undefined) throw new Error('two nodes');
    await until('the replica is connected', async () => (await replica.redis.info('replication')).includes('master_link_status:up'));
    if (mode === 'cluster')
      await until('the cluster serves', async () => (await primary.redis.cluster('INFO')).includes('cluster_state:ok'));
    return {
      spec,
      primary,
      replica,
      async stop() {
        for (const { redis } of nodes) redis.disconnect();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }

  async function configure(container: Docker.Container, addresses: readonly string[], ordinal: number): Promise<void> {
    const address = addresses[ordinal] ?? '';
    const [first = ''] = addresses;
    const conf = renderServerConf(spec, address, passwords, mode === 'sentinel' && ordinal > 0 ? first : undefined);
    const members = addresses.map((one, index) => ({
      nodeId: nodeIdOf(name, nodeName(name, 0, index)),
      address: one,
      role: index === 0 ? ('primary' as const) : ('replica' as const),
      primaryId: index === 0 ? '' : nodeIdOf(name, nodeName(name, 0, 0)),
      epoch: 1,
      slots: index === 0 ? ([[0, 16383]] as const) : [],
      flags: [],
    }));
    await place(container, [
      { path: nodePaths.aclFile, content: renderAcl(spec, passwords, []) },
      ...(tls ? await certificates(ca, address) : []),
      ...(mode === 'cluster'
        ? [{ path: nodePaths.nodesConf, content: renderNodesConf(spec, name, members, members[ordinal]?.nodeId ?? '') }]
        : [{ path: `${nodePaths.db}/.here`, content: '' }]),
      { path: nodePaths.serverConf, content: `${conf}${LAST_LINE}\n` },
    ]);
  }

  async function connect(address: string): Promise<ShardNode> {
    const secure = tls ? { tls: { ca: ca.cert } } : {};
    const redis = new Redis({
      host: address,
      port: ports.server,
      username: systemUsers.operator,
      password,
      protocol: 2,
      disableClientInfo: true,
      retryStrategy: () => 50,
      ...secure,
    });
    redis.on('error', () => undefined); // it is tried again until it listens
    await until(`${address} answers`, () => redis.ping().catch(() => undefined));
    const replication = async (field: string) => new RegExp(`^${field}:(.*?)\r$`, 'm').exec(await redis.info('replication'))?.[1] ?? '';
    return {
      address,
      redis,
      target: { address, user: systemUsers.replication, password: passwords.replication, ...(tls ? { caCert: ca.cert } : {}) },
      offset: async () => Number(await replication('master_repl_offset')),
      role: () => replication('role'),
    };
  }
}

const addressOf = async (container: Docker.Container): Promise<string> =>
  Object.values((await container.inspect()).NetworkSettings.Networks)[0]?.IPAddress ?? '';

async function certificates(ca: KeyPair, address: string): Promise<readonly PlacedFile[]> {
  const own = await issueNodeCertificate(ca, 'node', address);
  return [
    { path: nodePaths.caCert, content: ca.cert },
    { path: nodePaths.cert, content: own.cert },
    { path: nodePaths.key, content: own.key },
  ];
}

/** What a server holds. */
export interface Contents {
  readonly keys: number;
  readonly digest: string;
}

export const contentsOf = async ({ redis }: ShardNode): Promise<Contents> => {
  const keyspace = await redis.info('keyspace');
  const keys = [...keyspace.matchAll(/keys=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  return { keys, digest: String(await redis.call('DEBUG', 'DIGEST')) };
};

/**
 * What a server of the same kind holds after it has loaded these files. It has no network, and is gone afterwards. As a replica of nobody it keeps what has
 * expired: that is for its primary to remove, and what is compared is what was written.
 */
export async function load(docker: Docker, spec: ClusterSpec, files: readonly PlacedFile[]): Promise<Contents> {
  const { image, server, cli } = findEngineVersion(spec.engine, spec.version) ?? { image: '', server: '', cli: '' };
  const aof = files.some(({ path }) => path.endsWith('.manifest')) ? 'yes' : 'no';
  const container = await startServer(docker, image, server, 'none');
  try {
    const conf = `dir ${nodePaths.db}\nsave ""\nappendonly ${aof}\nreplicaof 127.0.0.1 1\n${LAST_LINE}\n`;
    await place(container, [...files, { path: nodePaths.serverConf, content: conf }]);
    const ask = (command: string) => output(container, [cli, ...command.split(' ')]);
    await until('it has loaded', async () => (await ask('INFO persistence')).includes('\nloading:0'));
    const keys = [...(await ask('INFO keyspace')).matchAll(/keys=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
    return { keys, digest: (await ask('DEBUG DIGEST')).trim() };
  } catch (error) {
    const log = await container.logs({ stdout: true, stderr: true, tail: 20 }).catch(String);
    throw new Error(`${String(error)}: ${log.toString()}`);
  } finally {
    await container.remove({ force: true, v: true });
  }
}

async function output(container: Docker.Container, command: readonly string[]): Promise<string> {
  const exec = await container.exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true, Tty: true });
  const stream = await exec.start({ Tty: true });
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
