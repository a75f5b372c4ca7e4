import { z } from 'zod';
import { clusterName, clusterSpec } from './cluster-spec.ts';

/** What every operation's input may say. */
const shared = {
  dryRun: z.boolean().default(false).describe('Stop after the plan: nothing is changed, and the plan is the result.'),
  whenBusy: z
    .enum(['fail', 'wait'])
    .default('fail')
    .describe('When another operation works on the cluster: fail at once, or wait for it to end.'),
  approval: z
    .strictObject({
      required: z.boolean().default(true).describe('Whether to wait for an answer.'),
      timeoutSeconds: z
        .int()
        .min(1)
        .max(7 * 86_400)
        .default(3600)
        .describe('How long to wait for `approve` or `reject`, in seconds.'),
    })
    .optional()
    .describe('Ask a person before acting. Without an answer in time the operation is rejected.'),
  planDigest: z
    .string()
    .regex(/^[0-9a-f]{16}$/, 'a digest as a plan has it: 16 hex digits')
    .optional()
    .describe('Digest of the plan that was shown (a dry run has it in its result): when it has changed since, nothing is done.'),
  reason: z.string().max(500).optional().describe('Why it is done, for the journal.'),
};

/** Input of `provision`: makes the cluster of the spec; completes a half-made one; changes nothing on a healthy one. */
export const provisionInput = z.strictObject({ spec: clusterSpec, ...shared });

/** Input of `configure`: applies a changed spec to a running cluster where that is safe while it serves. */
export const configureInput = z.strictObject({ spec: clusterSpec, ...shared });

/** Input of `deprovision`: removes a cluster and, unless told otherwise, its data. */
export const deprovisionInput = z
  .strictObject({
    cluster: clusterName.describe('Name of the cluster.'),
    confirm: z.string().describe("The cluster's name once more: what is deleted is typed twice."),
    keepVolumes: z
      .boolean()
      .default(false)
      .describe('Leave the volumes, and the secrets that open them, so that provision can take them up again.'),
    force: z.boolean().default(false).describe('Also remove a cluster that is under deletion protection or that no keeper knows.'),
    ...shared,
  })
  .refine((input) => input.confirm === input.cluster, { path: ['confirm'], message: 'confirm must repeat the name of the cluster' });

/** Every operation by the name of its workflow type, with the schema of its input. */
export const operationInputs = { provision: provisionInput, configure: configureInput, deprovision: deprovisionInput } as const;

export type OperationName = keyof typeof operationInputs;
export type OperationInput<N extends OperationName> = z.input<(typeof operationInputs)[N]>;
export const operationNames = Object.keys(operationInputs) as readonly OperationName[];

export type ProvisionInput = z.output<typeof provisionInput>;
export type DeprovisionInput = z.output<typeof deprovisionInput>;
