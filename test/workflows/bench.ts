import { activityInfo } from '@temporalio/activity';
import type { Client, WorkflowHandle } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { createKeyRing } from '../../activities/backup/key-ring.ts';
import { createControlActivities, createWaitingActivities } from '../../activities/control-activities.ts';
import { idsOf, masterKeyId } from '../../activities/secrets/master-keys.ts';
import type { SecretStore } from '../../activities/secrets/secret-store.ts';
import type { ObjectStore } from '../../activities/storage/object-store.ts';
import { beating } from '../../activities/support/beating.ts';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { hostArchiveTaskQueue, hostDataTaskQueue, hostTaskQueue, WAITING_TASK_QUEUE, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationName } from '../../config/operations.ts';
import { type OperationResult, operationHandlers, type Progress } from '../../config/progress.ts';
import { paths } from '../../scripts/setup/home.ts';
import { bundleWorkflows, payloadConverterPath } from '../../workers/workflow-bundle.ts';
import { memoryStore } from '../support/memory-store.ts';
import { CLUSTER_ID } from '../unit/model-observations.ts';
import { playedArchive } from './played-archive.ts';
import { createWorld, playedData, playedHost, type World } from './played-cluster.ts';

export type { World } from './played-cluster.ts';

export interface Bench {
  readonly client: Client;
  /** The bucket. */
  readonly store: ObjectStore;
  /** Keys of the objects in the bucket that begin so. */
  objects(prefix: string): Promise<readonly string[]>;
  /** Puts an object into the bucket. */
  put(key: string, body: string): Promise<void>;
  /** Whether the namespace has the search attributes; without them by default. */
  searchAttributes: () => Promise<boolean>;
  /** A world with nothing in it, of a cluster of its own. */
  world(changes?: Partial<ClusterSpecInput>): World;
  start(world: World, operation: OperationName, input?: object): Promise<WorkflowHandle>;
  execute(world: World, operation: OperationName, input?: object): Promise<OperationResult>;
  /** Runs a workflow that only looks, such as `status`, with the cluster and what else it is given. */
  read<T>(world: World, type: string, input?: object): Promise<T>;
  stop(): Promise<void>;
}

/** A real Temporal server and the real workflows, with activities that play the world. Records, locks and journal are the real code. */
export async function startBench(): Promise<Bench> {
  const logger = new DefaultLogger('ERROR');
  Runtime.install({ logger });
  const [env, workflowBundle] = await Promise.all([
    TestWorkflowEnvironment.createLocal({
      server: { executable: { type: 'existing-path', path: paths.temporal }, log: { format: 'pretty', level: 'error' } },
    }),
    bundleWorkflows(logger),
  ]);
  const worlds = new Map<string, World>();
  /** The world of the operation that called: its cluster's name is the first part of the workflow's id; or the second, of what a workflow started. */
  const current = () => {
    const id = activityInfo().workflowExecution?.workflowId ?? '';
    const world = worlds.get(id.startsWith('cluster/') ? (id.split('/')[1] ?? '') : (id.split(':')[0] ?? ''));
    if (world === undefined) throw new Error('an activity of no world');
    return world;
  };
  const store = memoryStore();
  const { client } = env;
  let next = 0;
  const bench: Bench = {
    client,
    store,
    objects: store.list,
    put: store.put,
    searchAttributes: async () => false,
    world(changes = {}) {
      const world = createWorld(changes);
      worlds.set(world.spec.name, world);
      return world;
    },
    start: (world, operation, input = defaultInput(world, operation)) =>
      client.workflow.start(operation, {
        workflowId: `${world.spec.name}:${operation}:${next++}`,
        taskQueue: WORKFLOW_TASK_QUEUE,
        args: [input],
      }),
    execute: async (world, operation, input) => (await bench.start(world, operation, input)).result() as Promise<OperationResult>,
    read: <T>(world: World, type: string, input: object = {}) =>
      client.workflow.execute(type, {
        workflowId: `${world.spec.name}:${type}:${next++}`,
        taskQueue: WORKFLOW_TASK_QUEUE,
        args: [{ cluster: world.spec.name, ...input }],
      }) as Promise<T>,
    async stop() {
      for (const worker of workers) worker.shutdown();
      await Promise.all(running);
      await env.teardown();
    },
  };

  const secrets = playedSecrets(current, store);
  const control = createControlActivities({ client, store, secrets, searchAttributes: () => bench.searchAttributes() });
  const watched = <A extends object>(activities: A): A =>
    Object.fromEntries(
      Object.entries(activities).map(([name, run]) => [
        name,
        async (...args: unknown[]) => {
          const world = current();
          const before = world.befores.get(name);
          world.calls.push([name, subjectOf(args)].filter((part) => part !== '').join(' '));
          await before?.(args);
          return run(...args);
        },
      ]),
    ) as A;
  const shared = { connection: env.nativeConnection, dataConverter: { payloadConverterPath }, maxHeartbeatThrottleInterval: '100ms' };
  const workers = await Promise.all([
    Worker.create({ ...shared, taskQueue: WORKFLOW_TASK_QUEUE, workflowBundle, activities: beating(watched(control)) }),
    Worker.create({ ...shared, taskQueue: WAITING_TASK_QUEUE, activities: createWaitingActivities(client) }),
    Worker.create({ ...shared, taskQueue: hostTaskQueue('local'), activities: beating(watched(playedHost(current))) }),
    Worker.create({ ...shared, taskQueue: hostDataTaskQueue('local'), activities: beating(watched(playedData(current, store))) }),
    Worker.create({ ...shared, taskQueue: hostArchiveTaskQueue('local'), activities: beating(watched(playedArchive(current))) }),
  ]);
  const running = workers.map((worker) => worker.run());
  return bench;
}

const defaultInput = ({ spec }: World, operation: OperationName): object => {
  if (operation === 'provision' || operation === 'configure') return { spec };
  return operation === 'deprovision' ? { cluster: spec.name, confirm: spec.name } : { cluster: spec.name };
};

/** The node that an activity is about, when it is about one. */
function subjectOf(args: readonly unknown[]): string {
  const [first, second] = args;
  if (typeof first === 'object' && first !== null) {
    if ('place' in first) return (first.place as { name: string }).name;
    if ('node' in first) return (first.node as { place?: { name: string } }).place?.name ?? '';
  }
  return typeof second === 'string' ? second : '';
}

const playedSecrets = (current: () => World, store: ObjectStore): SecretStore => ({
  read: async () =>
    current().secrets
      ? {
          clusterId: CLUSTER_ID,
          host: 'local',
          ca: { cert: '', key: '' },
          system: { operator: '', replication: '', sentinel: '' },
          users: {},
        }
      : undefined,
  require: () => Promise.reject(new Error('not played')),
  async ensure() {
    const made = current().secrets ? [] : ['CA'];
    current().secrets = true;
    return { clusterId: CLUSTER_ID, made };
  },
  hashUsers: () => Promise.reject(new Error('not played')),
  readCredentials: () => Promise.reject(new Error('not played')),
  async remove() {
    current().secrets = false;
  },
  keyRing: async (cluster) => createKeyRing(store, current().masterKeys, cluster),
  masterKeys: async () => idsOf(current().masterKeys),
  sealedUnder: async () => (current().secrets ? current().sealedUnder : undefined),
  async rewrap() {
    const before = current().sealedUnder;
    current().sealedUnder = masterKeyId(current().masterKeys[0]);
    return current().sealedUnder !== before;
  },
});

/** The operation's progress, once it is as wanted. */
export async function progressOf(handle: WorkflowHandle, wanted: (progress: Progress) => boolean): Promise<Progress> {
  const end = Date.now() + 20_000;
  for (;;) {
    const progress = await handle.query<Progress>(operationHandlers.progress);
    if (wanted(progress)) return progress;
    if (Date.now() > end) throw new Error(`the progress stays ${JSON.stringify(progress)}`);
  }
}

/** Why an operation failed: the type and message that a person gets to see. */
export async function failureOf(
  result: Promise<unknown>,
): Promise<{ readonly type: string; readonly message: string; readonly details: readonly unknown[] }> {
  const error = await result.then(
    () => undefined,
    (problem: unknown) => problem,
  );
  if (!(error instanceof Error) || !(error.cause instanceof Error)) throw new Error(`it did not fail: ${String(error)}`);
  const cause = error.cause as Error & { readonly type?: string; readonly details?: readonly unknown[] };
  return { type: cause.type ?? cause.name, message: cause.message, details: cause.details ?? [] };
}
