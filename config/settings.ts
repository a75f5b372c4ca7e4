import { z } from 'zod';
import { hostName } from './cluster-spec.ts';

const flag = z.enum(['true', 'false']).transform((v) => v === 'true');

/**
 * Everything that a Holdfast process takes from its environment; the table in docs/settings.md is made from the descriptions here.
 * Nothing of it ever reaches a workflow: workflows must not depend on where they run.
 */
export const settingsSchema = z.object({
  HOLDFAST_TEMPORAL_ADDRESS: z.string().default('127.0.0.1:7233').describe('Address of the Temporal frontend.'),
  HOLDFAST_TEMPORAL_NAMESPACE: z.string().default('default').describe('Temporal namespace that holds the operations.'),
  HOLDFAST_TEMPORAL_UI: z
    .url()
    .default('http://127.0.0.1:8233')
    .describe('Address of the Temporal UI, for the links that Holdfast prints.'),
  HOLDFAST_S3_ENDPOINT: z.url().default('http://127.0.0.1:7070').describe('S3 endpoint of the object store.'),
  HOLDFAST_S3_REGION: z.string().default('us-east-1').describe('Region that S3 requests are signed for.'),
  HOLDFAST_S3_BUCKET: z
    .string()
    .default('holdfast')
    .describe('Bucket for specs, sealed secrets and backups. The worker creates it when it is missing.'),
  HOLDFAST_S3_ACCESS_KEY_ID: z.string().optional().describe('Access key. Without it the SDK looks for credentials in its usual places.'),
  HOLDFAST_S3_SECRET_ACCESS_KEY: z.string().optional().describe('Secret of the access key.'),
  HOLDFAST_S3_PATH_STYLE: flag.default(true).describe('Bucket in the path and not in the host name; what most S3-compatible servers need.'),
  HOLDFAST_MASTER_KEY: z
    .string()
    .optional()
    .describe(
      'Master key that seals secrets: 32 bytes in base64. Prefer the file. It seals; others that only open may follow, with commas between.',
    ),
  HOLDFAST_MASTER_KEY_FILE: z
    .string()
    .optional()
    .describe('File with the master key: 32 bytes in base64. It seals; others that only open may follow, a line each.'),
  HOLDFAST_SECRETS_DIR: z
    .string()
    .optional()
    .describe('Folder that `file:<name>` secret references are read from. Without it they are refused.'),
  HOLDFAST_DOCKER_HOST: z
    .string()
    .default('unix:///var/run/docker.sock')
    .describe('Docker engine: unix://path, tcp://host:port or ssh://user@host.'),
  HOLDFAST_HOST: hostName.default('local').describe('Name of the Docker host that this worker serves; specs name it in `placement.hosts`.'),
  HOLDFAST_SUBNET_POOL: z.cidrv4().default('10.213.0.0/16').describe('Pool that cluster networks take their subnets from.'),
  HOLDFAST_SUBNET_PREFIX: z.coerce
    .number()
    .int()
    .min(20)
    .max(28)
    .default(24)
    .describe('Prefix length of a cluster network taken from the pool.'),
  HOLDFAST_WORKFLOW_BUNDLE: z
    .string()
    .optional()
    .describe(
      'File with the workflow bundle that `node workers/bundle.ts <file>` made. Without it the worker bundles the sources when it starts.',
    ),
  HOLDFAST_LOG_LEVEL: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least level of what the worker logs.'),
  HOLDFAST_LOG_FORMAT: z.enum(['json', 'pretty']).default('json').describe('Logs as one JSON object a line, or for reading.'),
});

export type Settings = z.infer<typeof settingsSchema>;

/** The environment is not what the schema asks for. The message lists each variable and what is wrong with it. */
export class InvalidSettings extends Error {
  override readonly name = 'InvalidSettings';
}

/**
 * Reads the settings of this process. Unknown variables that start with `HOLDFAST_` are refused: a typo must not fall back to a default.
 * @throws InvalidSettings with one line a variable.
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>): Settings {
  const ours = Object.fromEntries(Object.entries(environment).filter(([name, value]) => name.startsWith('HOLDFAST_') && value !== ''));
  delete ours.HOLDFAST_HOME; // where bootstrap keeps its cache; the product does not use it
  const unknown = Object.keys(ours).filter((name) => !(name in settingsSchema.shape) && !name.startsWith(SECRET_PREFIX));
  const parsed = settingsSchema.safeParse(ours);
  const problems = [
    ...unknown.map((name) => `${name}: no such setting; docs/settings.md lists them`),
    ...(parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)),
  ];
  if (problems.length > 0 || !parsed.success) throw new InvalidSettings(`These settings cannot be used:\n  ${problems.join('\n  ')}`);
  return parsed.data;
}

/** Variables with this prefix hold secrets that a spec may refer to as `env:<rest of the name>`. */
export const SECRET_PREFIX = 'HOLDFAST_SECRET_';
