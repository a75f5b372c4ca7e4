import { fileURLToPath } from 'node:url';
import {
  bundleWorkflowCode,
  DefaultLogger,
  type Logger,
  type NativeConnection,
  Worker,
  type WorkerInterceptors,
  type WorkerOptions,
  type WorkflowBundleWithSourceMap,
} from '@temporalio/worker';
import { createControlActivities } from '../activities/control-activities.ts';
import { createHostActivities } from '../activities/host-activities.ts';
import { hostTaskQueue, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import { createClient, type Dependencies } from './dependencies.ts';
import { createSearchAttributes } from './search-attributes.ts';

/** The sources run as they are in a checkout, and as JavaScript in the published package. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const path = (relative: string) => fileURLToPath(new URL(`${relative}.${extension}`, import.meta.url));

export const payloadConverterPath = path('./payload-converter');
export const workflowsPath = path('../workflows/index');

/** The bundler tells at length of what went well. */
const quiet = (logger: Logger): Logger => new DefaultLogger('WARN', ({ level, message, meta }) => logger.log(level, message, meta));

/** All workflows as one script; a second of work, so workers of one process share it. */
export const bundleWorkflows = (logger: Logger): Promise<WorkflowBundleWithSourceMap> =>
  bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger: quiet(logger) });

export interface WorkersOptions {
  readonly connection: NativeConnection;
  readonly dependencies: Dependencies;
  readonly logger: Logger;
  readonly workflowBundle: WorkflowBundleWithSourceMap;
  /** For the crash harness, which kills the process around an activity. */
  readonly interceptors?: WorkerInterceptors;
}

/** The workers of one process: workflows with what any worker can do, and what must run next to this host's engine. */
export async function createWorkers({
  connection,
  dependencies,
  logger,
  workflowBundle,
  interceptors,
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
      // A killed worker's sticky queue would hold up its workflows for the default of ten seconds.
      stickyQueueScheduleToStartTimeout: '2 seconds',
    }),
    Worker.create({
      ...shared,
      taskQueue: hostTaskQueue(settings.HOLDFAST_HOST),
      activities: createHostActivities({ settings, docker, secrets, hostName: settings.HOLDFAST_HOST }),
      maxConcurrentActivityTaskExecutions: 20,
    }),
  ]);
}
