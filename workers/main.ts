import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, NativeConnection, Runtime } from '@temporalio/worker';
import type { ObjectStore } from '../activities/storage/object-store.ts';
import { isNotReady } from '../activities/storage/unreachable.ts';
import { messageOf } from '../activities/support/failure.ts';
import { InvalidSettings, readSettings } from '../config/settings.ts';
import { loadSettingsFile } from '../config/settings-file.ts';
import { createDependencies } from './dependencies.ts';
import { createLogger } from './logger.ts';
import { createWorkers, type WorkersOptions } from './worker.ts';
import { findWorkflowBundle } from './workflow-bundle.ts';

/** Runs the workers until SIGTERM or SIGINT; running activities are told and given time. */
export async function runWorkers(extra: Pick<WorkersOptions, 'interceptors' | 'moveGroup'> = {}): Promise<void> {
  loadSettingsFile();
  const settings = readSettings(process.env);
  const logger = createLogger(settings);
  Runtime.install({ logger, shutdownSignals: ['SIGINT', 'SIGTERM'] });
  const dependencies = createDependencies(settings);
  const connection = await connect(settings.HOLDFAST_TEMPORAL_ADDRESS);
  const stopped = new AbortController();
  try {
    await makeBucket(dependencies.store, logger, stopped.signal);
    const workflowBundle = await findWorkflowBundle(settings, logger);
    const workers = await createWorkers({ connection, dependencies, logger, workflowBundle, ...extra });
    logger.info('holdfast worker runs', {
      temporal: settings.HOLDFAST_TEMPORAL_ADDRESS,
      queues: workers.map((worker) => worker.options.taskQueue),
    });
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    stopped.abort();
    await connection.close();
    await dependencies.close();
  }
}

const ASK_AGAIN_MS = 5000;

/**
 * A store that does not answer now is no reason not to run: activities wait for it and say so, and others need none. The bucket is made when it answers.
 * @throws when the store says no, and when it cannot even be asked: without its keys, or under a name that nobody knows
 */
async function makeBucket(store: ObjectStore, logger: Logger, stopped: AbortSignal): Promise<void> {
  const answered = await store.ensureBucket().then(
    () => true,
    (error: unknown) => {
      if (!isNotReady(error)) throw error;
      logger.warn('the bucket is made when the object store answers', { why: messageOf(error) });
      return false;
    },
  );
  if (!answered) void makeBucketLater(store, logger, stopped);
}

async function makeBucketLater(store: ObjectStore, logger: Logger, signal: AbortSignal): Promise<void> {
  for (let why = ''; !signal.aborted; ) {
    await sleep(ASK_AGAIN_MS, undefined, { signal, ref: false }).catch(() => undefined); // it ends with the worker
    try {
      if (!signal.aborted) await store.ensureBucket();
      return;
    } catch (error) {
      if (messageOf(error) !== why) logger.warn('the object store does not make the bucket yet', { why: messageOf(error) });
      why = messageOf(error);
    }
  }
}

async function connect(address: string): Promise<NativeConnection> {
  try {
    return await NativeConnection.connect({ address });
  } catch (error) {
    throw new Error(`Temporal does not answer at ${address}: start it (npm run quickstart), or set HOLDFAST_TEMPORAL_ADDRESS`, {
      cause: error,
    });
  }
}

if (import.meta.main) {
  runWorkers().catch((error: unknown) => {
    const message = error instanceof InvalidSettings || error instanceof Error ? error.message : String(error);
    process.stderr.write(`${message}\n`);
    process.exitCode = 1;
  });
}
