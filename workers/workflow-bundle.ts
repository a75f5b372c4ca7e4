import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BundleOptions, bundleWorkflowCode, DefaultLogger, type Logger, type WorkerOptions } from '@temporalio/worker';
import type { Settings } from '../config/settings.ts';

/** The sources run as they are in a checkout, and as JavaScript in the published package. */
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export const payloadConverterPath = path(`./payload-converter.${extension}`);
const workflowsPath = path(`../workflows/index.${extension}`);
/** Where `npm run build` puts the bundle of the published package. */
const published = path('../workflow-bundle.js');

/** All workflows as one script: its text, or the file that has it. */
export type WorkflowBundle = NonNullable<WorkerOptions['workflowBundle']>;

/** The bundler tells at length of what went well. */
const quiet = (logger: Logger): Logger => new DefaultLogger('WARN', ({ level, message, meta }) => logger.log(level, message, meta));

type WebpackConfig = Parameters<NonNullable<BundleOptions['webpackConfigHook']>>[0];

/** A worker keeps the bundle several times: what nobody calls is left out, and so are the sources' texts. Stack traces name file and line as before. */
const small = (config: WebpackConfig): WebpackConfig => ({
  ...config,
  devtool: 'inline-nosources-source-map',
  optimization: { ...config.optimization, sideEffects: true, providedExports: true, usedExports: true },
});

/** Bundles the workflows: some seconds of CPU and 200 MiB. */
export const bundleWorkflows = (logger: Logger) =>
  bundleWorkflowCode({ workflowsPath, payloadConverterPath, logger: quiet(logger), webpackConfigHook: small });

/** The bundle that was made beforehand, where there is one; else it is made now, from the sources. */
export async function findWorkflowBundle(settings: Settings, logger: Logger): Promise<WorkflowBundle> {
  if (settings.HOLDFAST_WORKFLOW_BUNDLE !== undefined) return { codePath: settings.HOLDFAST_WORKFLOW_BUNDLE };
  if (extension === 'js' && existsSync(published)) return { codePath: published };
  return bundleWorkflows(logger);
}
