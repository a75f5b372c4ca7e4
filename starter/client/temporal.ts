import { Client, Connection, type ConnectionOptions } from '@temporalio/client';
import { WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { livePollers } from '../../config/pollers.ts';
import { NoWorker } from './errors.ts';
import { type CallTarget, isServiceError, nobodyAnswered, noWorkerMessage, translate } from './translate-errors.ts';

export interface ConnectOptions extends Omit<ConnectionOptions, 'address'> {
  /** Temporal frontend. Default: HOLDFAST_TEMPORAL_ADDRESS, or 127.0.0.1:7233. */
  readonly address?: string;
  /** Default: HOLDFAST_TEMPORAL_NAMESPACE, or `default`. */
  readonly namespace?: string;
  /** Who asks, as it will stand in the journal. Default: process id and host name. */
  readonly identity?: string;
}

/** A client of Temporal whose errors say what to do. */
export interface Temporal {
  readonly client: Client;
  /** Runs a call; what it throws is translated. With `workerWithinMs` it ends with `NoWorker` when nobody answers in that time. */
  call<T>(workflowId: string | undefined, run: (client: Client) => Promise<T>, options?: { workerWithinMs?: number }): Promise<T>;
  /** Whether a worker asked for workflow tasks lately. @param now by Temporal's clock, ms since 1970 @default this machine's */
  hasWorker(now?: number): Promise<boolean>;
}

/** @throws TemporalUnreachable */
export async function connectTemporal(
  options: Required<Pick<ConnectOptions, 'address' | 'namespace'>> & ConnectOptions,
): Promise<Temporal> {
  const { namespace, identity, ...connectionOptions } = options;
  try {
    const connection = await Connection.connect({ connectTimeout: '5s', ...connectionOptions });
    const client = new Client({ connection, namespace, ...(identity === undefined ? {} : { identity }) });
    return wrapClient(client, options.address);
  } catch (error) {
    throw translate(error, { address: options.address, namespace });
  }
}

export function wrapClient(client: Client, address: string): Temporal {
  const target: CallTarget = { address, namespace: client.options.namespace };
  return {
    client,
    async call(workflowId, run, { workerWithinMs } = {}) {
      const start = Date.now();
      try {
        return workerWithinMs === undefined ? await run(client) : await client.withDeadline(Date.now() + workerWithinMs, () => run(client));
      } catch (error) {
        // Whether the server or we give up first decides which error it is; that the time is over says enough.
        const late = workerWithinMs !== undefined && isServiceError(error) && Date.now() - start > workerWithinMs * 0.9;
        if (late || (workerWithinMs !== undefined && nobodyAnswered(error))) throw new NoWorker(noWorkerMessage, { cause: error });
        throw translate(error, workflowId === undefined ? target : { ...target, workflowId });
      }
    },
    async hasWorker(now = Date.now()) {
      const pollers = await this.call(undefined, () => workflowPollers(client, now));
      return pollers > 0;
    },
  };
}

async function workflowPollers(client: Client, now: number): Promise<number> {
  const answer = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name: WORKFLOW_TASK_QUEUE },
    taskQueueType: 1, // TASK_QUEUE_TYPE_WORKFLOW
  });
  return livePollers(answer.pollers, now).length;
}
