import { type Logger, type NativeConnection, Worker, type WorkerInterceptors, type WorkerOptions } from '@temporalio/worker';
import { createArchiveActivities } from '../activities/archive-activities.ts';
import { createControlActivities, createWaitingActivities } from '../activities/control-activities.ts';
import { createDataActivities, type DataDeps } from '../activities/data-activities.ts';
import { createHostActivities } from '../activities/host-activities.ts';
import { hostArchiveTaskQueue, hostDataTaskQueue, hostTaskQueue, WAITING_TASK_QUEUE, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import { createClient, type Dependencies } from './dependencies.ts';
import { createSearchAttributes } from './search-attributes.ts';
import { payloadConverterPath, type WorkflowBundle } from './workflow-bundle.ts';

export interface WorkersOptions {
  readonly connection: NativeConnection;
  readonly dependencies: Dependencies;
  readonly logger: Logger;
  readonly workflowBundle: WorkflowBundle;
  /** For the crash harness, which kills the process around an activity. */
  readonly interceptors?: WorkerInterceptors;
  /** For tests: a driver of slots that does it wrong. */
  readonly moveGroup?: DataDeps['moveGroup'];
}

/** The workers of one process: workflows with what any worker can do, and what must run next to this host's engine. */
export async function createWorkers({
  connection,
  dependencies,
  logger,
  workflowBundle,
  interceptors,
  moveGroup,
}: WorkersOptions): Promise<readonly Worker[]> {
  const { settings, docker, store, secrets } = dependencies;
  const client = createClient(connection, settings);
  const searchAttributes = createSearchAttributes(client, logger);
  await searchAttributes();
  const shared: Pick<
    WorkerOptions,
    'connection' | 'namespace' | 'dataConverter' | 'shutdownGraceTime' | 'maxHeartbeatThrottleInterval' | 'interceptors'
  > = {
    connection,
    namespace: settings.HOLDFAST_TEMPORAL_NAMESPACE,
    dataConverter: { payloadConverterPath },
    // A step that has begun may end in this time; a longer one is resumed by another worker.
    shutdownGraceTime: '10 seconds',
    // Beats come every second, and cancellations arrive with their answers; the default sends most of them to nobody.
    maxHeartbeatThrottleInterval: '1 second',
    ...(interceptors === undefined ? {} : { interceptors }),
  };
  return Promise.all([
    Worker.create({
      ...shared,
      taskQueue: WORKFLOW_TASK_QUEUE,
      workflowBundle,
      activities: createControlActivities({ client, store, secrets, searchAttributes }),
      // A keeper is asked seldom and replayed in a moment; kept in memory it costs 1.6 MiB, and there are hundreds.
      maxCachedWorkflows: 100,
      // A killed worker's sticky queue would hold up its workflows for the default of ten seconds.
      stickyQueueScheduleToStartTimeout: '2 seconds',
    }),
    Worker.create({
      ...shared,
      taskQueue: WAITING_TASK_QUEUE,
      activities: createWaitingActivities(client),
      maxConcurrentActivityTaskExecutions: 2000,
    }),
    Worker.create({
      ...shared,
      taskQueue: hostTaskQueue(settings.HOLDFAST_HOST),
      activities: createHostActivities({ settings, docker, secrets, store, hostName: settings.HOLDFAST_HOST }),
      maxConcurrentActivityTaskExecutions: 20,
    }),
    Worker.create({
      ...shared,
      taskQueue: hostDataTaskQueue(settings.HOLDFAST_HOST),
      activities: createDataActivities({
        docker,
        secrets,
        store,
        hostName: settings.HOLDFAST_HOST,
        client,
        ...(moveGroup === undefined ? {} : { moveGroup }),
      }),
      maxConcurrentActivityTaskExecutions: 4,
    }),
    Worker.create({
      ...shared,
      taskQueue: hostArchiveTaskQueue(settings.HOLDFAST_HOST),
      activities: createArchiveActivities({ docker, secrets, store, hostName: settings.HOLDFAST_HOST, client }),
      // One for each shard of the host, and none of them ends.
      maxConcurrentActivityTaskExecutions: 2000,
    }),
  ]);
}
