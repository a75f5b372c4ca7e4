import { Cluster, Redis } from 'ioredis';
import { ports, sentinelMasterName, systemUsers, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { uniqueName } from '../support/clusters.ts';
import type { Login } from '../support/load-client.ts';
import type { Stack } from '../support/stack.ts';

/** Runs a workflow to its end. */
export const ask = <T>(stack: Stack, type: string, input: unknown): Promise<T> =>
  stack.client.workflow.execute(type, {
    taskQueue: WORKFLOW_TASK_QUEUE,
    workflowId: `${type}-${uniqueName()}`,
    args: [input],
  }) as Promise<T>;

/** Why a workflow failed: the type and message that a person gets to see. */
export async function refusal(result: Promise<unknown>): Promise<{ readonly type: string; readonly message: string }> {
  const error = await result.then(
    (value) => new Error(`it did not fail: ${JSON.stringify(value)}`),
    (problem: unknown) => problem,
  );
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  if (!(cause instanceof Error)) throw new Error(String(error));
  return { type: 'type' in cause ? String(cause.type) : cause.name, message: cause.message };
}

const nodesOf = async (stack: Stack, cluster: string, kind: 'data' | 'sentinel') => {
  const { shards, sentinels } = await ask<StatusReport>(stack, 'status', { cluster });
  return kind === 'data' ? shards.flatMap((shard) => shard.nodes) : sentinels;
};

/** How a load client signs in: as the application, at every data node that there is now. */
export async function loginOf(stack: Stack, cluster: string, user = 'app'): Promise<Login> {
  const { ca, ...auth } = await login(stack, cluster, user);
  const addresses = (await nodesOf(stack, cluster, 'data')).map(({ address }) => address);
  return { addresses, ...auth, ...(ca === undefined ? {} : { ca }) };
}

async function login(stack: Stack, cluster: string, user: string) {
  const { caCert, users } = await stack.dependencies.secrets.readCredentials(cluster);
  const password = users.find(({ name }) => name === user)?.password;
  if (password === undefined) throw new Error(`no user ${user}`);
  return { username: user, password, ca: caCert };
}

/** Works on one node as one of the cluster's users, and closes the connection whatever happens. */
export async function onNode<T>(
  stack: Stack,
  cluster: string,
  node: string,
  work: (redis: Redis) => Promise<T>,
  { user = systemUsers.operator as string, tls = true } = {},
): Promise<T> {
  const address = (await nodesOf(stack, cluster, 'data')).find(({ name }) => name === node)?.address ?? '';
  const { ca, ...auth } = await login(stack, cluster, user);
  const redis = new Redis({
    host: address,
    port: ports.server,
    ...auth,
    lazyConnect: true,
    retryStrategy: () => null,
    ...(tls ? { tls: { ca } } : {}),
  });
  redis.on('error', () => undefined); // the promise tells it
  try {
    await redis.connect();
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

/** Works on the whole cluster as an application does: through the client library's own discovery. */
export async function asApplication<T>(
  stack: Stack,
  cluster: string,
  work: (client: Redis | Cluster) => Promise<T>,
  {
    mode = 'cluster',
    tls = true,
    user = 'app',
  }: { readonly mode?: 'cluster' | 'sentinel'; readonly tls?: boolean; readonly user?: string } = {},
): Promise<T> {
  const { ca, ...auth } = await login(stack, cluster, user);
  const secure = tls ? { tls: { ca } } : {};
  const hosts = (await nodesOf(stack, cluster, mode === 'cluster' ? 'data' : 'sentinel')).map(({ address }) => address);
  const client =
    mode === 'cluster'
      ? new Cluster(
          hosts.map((host) => ({ host, port: ports.server })),
          { redisOptions: { ...auth, ...secure }, dnsLookup: (address, done) => done(null, address) },
        )
      : new Redis({
          sentinels: hosts.map((host) => ({ host, port: ports.sentinel })),
          name: sentinelMasterName(cluster),
          ...auth,
          sentinelUsername: auth.username,
          sentinelPassword: auth.password,
          ...(tls ? { tls: { ca }, sentinelTLS: { ca }, enableTLSForSentinelMode: true } : {}),
        });
  client.on('error', () => undefined); // commands tell it
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}
