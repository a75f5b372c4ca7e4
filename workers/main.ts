import { NativeConnection, Runtime } from '@temporalio/worker';
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
  try {
    await dependencies.store.ensureBucket();
    const workflowBundle = await findWorkflowBundle(settings, logger);
    const workers = await createWorkers({ connection, dependencies, logger, workflowBundle, ...extra });
    logger.info('holdfast worker runs', {
      temporal: settings.HOLDFAST_TEMPORAL_ADDRESS,
      queues: workers.map((worker) => worker.options.taskQueue),
    });
    await Promise.all(workers.map((worker) => worker.run()));
  } finally {
    await connection.close();
    await dependencies.close();
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
