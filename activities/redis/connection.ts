import { Redis } from 'ioredis';
import { failures } from '../../config/failures.ts';
import { ports, systemUsers } from '../../config/names.ts';
import type { ReplicationTarget } from '../replication/link.ts';
import type { ClusterSecrets } from '../secrets/secret-store.ts';
import { fatal } from '../support/failure.ts';

/** Where a node listens, and who asks. */
export interface NodeAddress {
  readonly address: string;
  readonly kind: 'data' | 'sentinel';
  readonly password: string;
  /** The cluster's CA, when it uses TLS. */
  readonly caCert?: string;
}

/** How the operator speaks to a node or sentinel of a cluster. */
export const asOperator = (
  { system, ca }: Pick<ClusterSecrets, 'system' | 'ca'>,
  tls: boolean,
  { kind, address }: Pick<NodeAddress, 'kind' | 'address'>,
): NodeAddress => ({ address, kind, password: system.operator, ...(tls ? { caCert: ca.cert } : {}) });

/** How to follow a data node, as a replica does. */
export const asFollower = ({ system, ca }: Pick<ClusterSecrets, 'system' | 'ca'>, tls: boolean, address: string): ReplicationTarget => ({
  address,
  user: systemUsers.replication,
  password: system.replication,
  ...(tls ? { caCert: ca.cert } : {}),
});

const CONNECT_MS = 3000;
const COMMAND_MS = 5000;

/** Connects, works, and closes whatever happened. No retries: who asks decides what a failure means. */
export async function withNode<T>(target: NodeAddress, work: (node: Redis) => Promise<T>): Promise<T> {
  const node = new Redis({
    host: target.address,
    port: target.kind === 'sentinel' ? ports.sentinel : ports.server,
    username: systemUsers.operator,
    password: target.password,
    connectTimeout: CONNECT_MS,
    commandTimeout: COMMAND_MS,
    lazyConnect: true,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // Versions before 6 do not know HELLO's RESP3; all of the catalogue do, but the plain protocol is enough here.
    protocol: 2,
    disableClientInfo: true,
    ...(target.caCert === undefined ? {} : { tls: { ca: target.caCert } }),
  });
  let lastError: Error | undefined;
  node.on('error', (error: Error) => {
    lastError = error; // the reason behind "Connection is closed"
  });
  try {
    await node.connect();
    return await work(node);
  } catch (error) {
    throw lastError ?? error;
  } finally {
    node.disconnect();
  }
}

/** @throws when the node does not answer, or refuses the operator. */
export async function pingNode(target: NodeAddress): Promise<void> {
  await withNode(target, async (node) => {
    try {
      await node.ping();
    } catch (error) {
      if (!(error instanceof Error && /^LOADING|^MASTERDOWN/.test(error.message))) throw error; // it answers; that it loads is for `observe` to tell
    }
  });
}

/** Whether a replica's link to its primary is up; false as well when it cannot say. */
export async function replicaLinkUp(target: NodeAddress): Promise<boolean> {
  try {
    return await withNode(target, async (node) => (await node.info('replication')).includes('master_link_status:up'));
  } catch {
    return false; // it is asked again, and what is amiss with it is told by `observe`
  }
}

/** Runs several commands in one round trip; each result, or the error that the server answered. */
export async function pipeline(node: Redis, commands: readonly (readonly string[])[]): Promise<readonly unknown[]> {
  const batch = node.pipeline();
  for (const [name = '', ...args] of commands) batch.call(name, ...args);
  const results = (await batch.exec()) ?? [];
  return results.map(([error, value]) => error ?? value);
}

/**
 * As `pipeline`, but an error of any of them is thrown.
 * @throws EngineRefused with the server's own words, when it says ERR: it will say so again. What has a name of its own (LOADING, MISCONF) passes.
 */
export async function pipelineAll(node: Redis, commands: readonly (readonly string[])[]): Promise<readonly unknown[]> {
  const results = await pipeline(node, commands);
  for (const result of results) {
    if (!(result instanceof Error)) continue;
    throw /^ERR /.test(result.message) ? fatal(failures.engineRefused, `the server refuses it: ${result.message}`) : result;
  }
  return results;
}
