import { z } from 'zod';
import { backupChoice, backupId } from './backup.ts';
import { clusterName, clusterSpec, cpuCount, hostName, memorySize } from './cluster-spec.ts';
import { explicitMove, moveLimits, moveStrategy } from './migration.ts';

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

/** What every operation that moves slots may say besides. */
const moving = {
  strategy: moveStrategy
    .default('auto')
    .describe(
      '`native`: the servers move slots themselves, atomically. `pipelined`: MIGRATE in batches. `auto`: native where every node has it.',
    ),
  bigKeys: z
    .enum(['stop', 'move'])
    .default('stop')
    .describe('Keys above `limits.maxKeyBytes`: stop before anything moves, or move them and stall their shard meanwhile.'),
  limits: moveLimits.prefault({}).describe('What bounds the move. All of it can be changed while it runs (update `limits`).'),
};

/** Input of `scale`: the size that the cluster shall have afterwards. */
export const scaleInput = z
  .strictObject({
    cluster: clusterName.describe('Name of the cluster.'),
    shards: z.int().min(1).max(500).optional().describe('Primaries afterwards. Fewer than now drains those with the highest numbers.'),
    replicasPerShard: z.int().min(0).max(5).optional().describe('Replicas of each primary afterwards.'),
    resources: z
      .strictObject({
        memory: memorySize.optional().describe("Memory limit of each node's container: 512Mi, 2Gi."),
        cpus: cpuCount.optional().describe("CPUs that each node's container may use."),
      })
      .optional()
      .describe('What each node may use afterwards.'),
    ...moving,
    ...shared,
  })
  .refine(
    ({ shards, replicasPerShard, resources }) =>
      shards !== undefined || replicasPerShard !== undefined || resources?.memory !== undefined || resources?.cpus !== undefined,
    'say what shall change: shards, replicasPerShard, resources.memory or resources.cpus',
  );

/** Input of `rebalance`: moves slots until each primary has its share. */
export const rebalanceInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster.'),
  by: z
    .enum(['slots', 'keys', 'memory'])
    .default('slots')
    .describe('What is shared out: the number of slots, the keys in them, or the memory that they take.'),
  weights: z
    .record(z.string().regex(/^\d+$/, 'weights go by the number of the shard: {"0": 1, "3": 0.5}'), z.number().min(0).max(1000))
    .default({})
    .describe('Share of each shard by its number; 1 when left out, 0 drains it.'),
  threshold: z.number().min(0).max(100).default(2).describe('A shard that is within so many percent of its share is left as it is.'),
  maxMoves: z.int().min(1).max(16_384).optional().describe('Move so many slots at most, those that help most.'),
  moves: z
    .array(explicitMove)
    .min(1)
    .max(100_000)
    .optional()
    .describe('Exactly these moves instead of planned ones: those of a plan that was shown, or your own.'),
  ...moving,
  ...shared,
});

/** Input of `repair`: closes slots that anyone left open. */
export const repairInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster.'),
  limits: moving.limits,
  ...shared,
});

/** Input of `backup`: stores the data of every shard, and proves that it can be loaded. */
export const backupInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster.'),
  label: z.string().min(1).max(200).optional().describe('What to call it: a word for people.'),
  keepUntil: z.iso.datetime({ offset: true }).optional().describe('Retention does not remove it before, such as 2027-01-01T00:00:00Z.'),
  verify: z
    .enum(['load', 'checksum'])
    .default('load')
    .describe(
      '`load`: a server without network loads every shard, and the keys are counted. `checksum`: every byte is read and compared; the backup is not called verified then.',
    ),
  fromPrimary: z
    .boolean()
    .default(false)
    .describe('Read from the primary where a shard has no healthy replica; else such a backup is refused.'),
  shardsAtOnce: z.int().min(1).max(16).default(2).describe('Shards that are stored, and then loaded, side by side, at most.'),
  ...shared,
});

/** Input of `rotate`: removes backups that no rule keeps, and what is archived and out of the recovery window. */
export const rotateInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster; also of one that is gone, for backups outlive it.'),
  graceSeconds: z
    .int()
    .min(0)
    .max(365 * 86_400)
    .default(86_400)
    .describe('What nobody owns, such as a manifest that was never written or an upload that was never ended, stays for so many seconds.'),
  ...shared,
});

/** Input of `hold`: a backup stays until it is released, whatever the retention says. */
export const holdInput = z
  .strictObject({
    cluster: clusterName.describe('Name of the cluster; also of one that is gone.'),
    backup: backupId,
    held: z.boolean().default(true).describe('`false` releases it: from then on the retention decides again.'),
    ...shared,
  })
  .refine(({ held, reason }) => !held || (reason !== undefined && reason !== ''), {
    path: ['reason'],
    message: 'say why it is held: whoever finds it years later has to know',
  });

/** Input of `rotateKeys`: what is sealed of a cluster gets a new key, and the master key that the workers seal under. */
export const rotateKeysInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster; also of one that is gone, for backups outlive it.'),
  newKey: z
    .boolean()
    .default(true)
    .describe('Make a new key for what is stored from now on. `false`: only the master key that the keys there are sealed under changes.'),
  ...shared,
});

/** Input of `verifyBackup`: proves once more that a stored backup is what it was, also of a cluster that is gone. */
export const verifyBackupInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster.'),
  backup: backupChoice,
  verify: z
    .enum(['load', 'checksum'])
    .default('load')
    .describe('`load`: a server without network loads every shard, and the keys are counted. `checksum`: every byte is read and compared.'),
  host: hostName.optional().describe('Docker host that it is loaded on; that of the stored spec when left out.'),
  shardsAtOnce: z.int().min(1).max(16).default(2).describe('Shards that are loaded side by side, at most.'),
  ...shared,
});

/** Input of `restore`: a new cluster with the data that another one had; or, in place, the cluster itself with data that it had. */
export const restoreInput = z
  .strictObject({
    cluster: clusterName.describe('Whose data: the cluster that was backed up. It may be gone.'),
    backup: backupChoice.optional().describe('The data of this backup: its id, or `latest`.'),
    at: z.iso
      .datetime({ offset: true })
      .optional()
      .describe(
        'The data as it was at this moment, such as 2026-11-21T14:03:26Z: what was written then or before, and nothing that was later.',
      ),
    latest: z.literal(true).optional().describe('The data at the last moment that every shard can be brought back to.'),
    into: clusterName
      .optional()
      .describe(
        "Name of the new cluster. The cluster's own, or left out: in place, when it exists; the data that it has then is replaced.",
      ),
    confirm: z.string().optional().describe("In place: the cluster's name once more; what is replaced is typed twice."),
    ttl: z
      .enum(['absolute', 'shift'])
      .default('absolute')
      .describe(
        '`absolute`: a key ends when it was to end; one whose time has passed meanwhile is gone. `shift`: it has as much time left as it had at that moment.',
      ),
    changes: z
      .record(z.string(), z.unknown())
      .default({})
      .describe('Fields of the spec that shall differ from what the cluster had: {"resources": {"memory": "1Gi"}}.'),
    include: z
      .array(z.string().min(1).max(1000))
      .max(100)
      .default([])
      .describe(
        'Only keys that match one of these patterns, as SCAN takes them: `user:*`. All, when left out. Functions come with all only.',
      ),
    shardsAtOnce: z.int().min(1).max(16).default(2).describe('Shards that are brought back side by side, at most.'),
    ...shared,
  })
  .refine(
    (input) => [input.backup, input.at, input.latest].filter((one) => one !== undefined).length === 1,
    'say which data, by one of backup, at and latest',
  )
  .refine(({ changes }) => !('name' in changes), { path: ['changes'], message: 'the name of the new cluster stands in `into`' })
  .refine(({ cluster, confirm }) => confirm === undefined || confirm === cluster, {
    path: ['confirm'],
    message: 'confirm must repeat the name of the cluster',
  });

/** Input of `drill`: brings a cluster's data back beside it, and removes that again. */
export const drillInput = z.strictObject({
  cluster: clusterName.describe('Name of the cluster.'),
  at: z.iso.datetime({ offset: true }).optional().describe('As it was at this moment; the latest that there is, when left out.'),
  shardsAtOnce: z.int().min(1).max(16).default(2).describe('Shards that are brought back side by side, at most.'),
  ...shared,
});

/** Every operation by the name of its workflow type, with the schema of its input. */
export const operationInputs = {
  provision: provisionInput,
  configure: configureInput,
  deprovision: deprovisionInput,
  scale: scaleInput,
  rebalance: rebalanceInput,
  repair: repairInput,
  backup: backupInput,
  rotate: rotateInput,
  hold: holdInput,
  rotateKeys: rotateKeysInput,
  verifyBackup: verifyBackupInput,
  restore: restoreInput,
  drill: drillInput,
} as const;

export type OperationName = keyof typeof operationInputs;
export type OperationInput<N extends OperationName> = z.input<(typeof operationInputs)[N]>;
/** The cluster that an operation works on, and that nobody else may work on meanwhile: of a restore it is the new one. */
export const subjectOf = (
  input: { readonly into?: string | undefined; readonly cluster: string } | { readonly spec: { readonly name: string } },
): string => ('spec' in input ? input.spec.name : (input.into ?? input.cluster));
export const operationNames = Object.keys(operationInputs) as readonly OperationName[];

export type ProvisionInput = z.output<typeof provisionInput>;
export type DeprovisionInput = z.output<typeof deprovisionInput>;
export type ScaleInput = z.output<typeof scaleInput>;
export type RebalanceInput = z.output<typeof rebalanceInput>;
export type BackupInput = z.output<typeof backupInput>;
export type RotateInput = z.output<typeof rotateInput>;
export type RotateKeysInput = z.output<typeof rotateKeysInput>;
export type HoldInput = z.output<typeof holdInput>;
export type VerifyBackupInput = z.output<typeof verifyBackupInput>;
export type RestoreInput = z.output<typeof restoreInput>;
