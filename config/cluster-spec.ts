import { z } from 'zod';
import { engineCatalogue, findEngineVersion } from './engines.ts';
import { isOwnUser } from './names.ts';
import { serverBytes, serverParameters } from './server-parameters.ts';

/** A cluster's name: lower-case letters, digits and dashes; up to 40 characters. */
export const clusterName = z
  .string()
  .regex(
    /^[a-z][a-z0-9-]{0,38}[a-z0-9]$/,
    'a name has 2 to 40 lower-case letters, digits and dashes, starts with a letter and ends with a letter or digit',
  );

/** A Docker host that a worker serves (its setting HOLDFAST_HOST). */
export const hostName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,30}$/, 'a host name has lower-case letters, digits and dashes, and starts with a letter');

/** Bytes with a binary or decimal suffix, as in Kubernetes: 512Mi, 2Gi, 500M. */
export const memorySize = z
  .string()
  .regex(/^[1-9]\d*(Ki|Mi|Gi|K|M|G)?$/, 'a size looks like 512Mi or 2Gi')
  .refine((size) => parseBytes(size) >= 64 * 1024 ** 2, 'a node needs at least 64Mi');

/** CPUs of a container. */
export const cpuCount = z.number().min(0.1).max(64);

/** Where a password comes from; the password itself never stands in a spec. */
const secretReference = z
  .string()
  .regex(
    /^(generated|env:[A-Z0-9_]+|file:[A-Za-z0-9._-]+)$/,
    'a secret is "generated", "env:NAME" (the worker\'s variable HOLDFAST_SECRET_NAME) or "file:name" (in the worker\'s HOLDFAST_SECRETS_DIR)',
  )
  .default('generated');

const user = z.strictObject({
  name: z
    .string()
    .regex(/^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/, 'a user name has letters, digits, _ and -, and starts with a letter')
    .refine((name) => !isOwnUser(name), 'this user belongs to Holdfast: choose another name')
    .describe('Name of the user; `default` is off, and names of Holdfast are refused.'),
  rules: z
    .string()
    .min(1)
    .refine(
      (rules) => !/(^|\s)([><#!]\S*|nopass|resetpass|reset)(\s|$)/i.test(rules),
      'rules cannot hold passwords, nopass or reset: use secret',
    )
    .refine((rules) => !/[\r\n"'\\]/.test(rules), 'rules are one line without quotes or backslashes')
    .default('~* &* +@all -@admin -@dangerous +info')
    .describe('ACL rules as `ACL SETUSER` takes them, without passwords: `~app:* +@all -@admin -@dangerous`.'),
  secret: secretReference.describe(
    'Where the password comes from: `generated`, `env:NAME` (variable HOLDFAST_SECRET_NAME of the worker) or `file:name` (in its HOLDFAST_SECRETS_DIR).',
  ),
});

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
/** Of minute, hour, day of month, month and day of week: the least and the most, and names that stand for numbers. */
const CRON_FIELDS: readonly (readonly [least: number, most: number, names: readonly string[]])[] = [
  [0, 59, []],
  [0, 23, []],
  [1, 31, []],
  [1, 12, MONTHS],
  [0, 6, DAYS],
];

function isCron(text: string): boolean {
  const fields = text.split(' ');
  return (
    fields.length === CRON_FIELDS.length &&
    CRON_FIELDS.every(([least, most, names], at) => isCronField(fields[at] ?? '', least, most, names))
  );
}

function isCronField(field: string, least: number, most: number, names: readonly string[]): boolean {
  const numberOf = (word: string) =>
    /^\d{1,2}$/.test(word) ? Number(word) : names.indexOf(word.toLowerCase()) + (names.includes(word.toLowerCase()) ? least : Number.NaN);
  return field.split(',').every((part) => {
    const [, range = '', step] = /^([^/]+)(?:\/([1-9]\d?))?$/.exec(part) ?? [];
    if (range === '' || Number(step ?? 1) > most) return false;
    if (range === '*') return true;
    const [from = Number.NaN, to = from, ...more] = range.split('-').map(numberOf);
    return more.length === 0 && from >= least && to <= most && from <= to;
  });
}

const cron = z
  .string()
  .refine(isCron, 'a schedule has five cron fields with a blank between, such as "0 3 * * *", at three every night, or "30 2 * * mon-fri"');

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone.length > 0;
  } catch {
    return false;
  }
}

/** Grandfather, father, son: the newest verified backup of each of the last so many days, ISO weeks and months, in UTC. */
export const retention = z.strictObject({
  daily: z.int().min(0).max(366).default(7).describe('Days of which the newest verified backup stays.'),
  weekly: z.int().min(0).max(260).default(4).describe('ISO weeks of which the newest verified backup stays.'),
  monthly: z.int().min(0).max(240).default(12).describe('Months of which the newest verified backup stays.'),
  minimum: z.int().min(1).max(1000).default(1).describe('So many of the newest verified backups stay in any case.'),
});

const snapshot = z.strictObject({
  seconds: z.int().min(1).describe('At least so long after the last snapshot, in seconds.'),
  changes: z.int().min(1).describe('At least so many changed keys.'),
});

const fields = z.strictObject({
  name: clusterName.describe('Name of the cluster: 2 to 40 lower-case letters, digits and dashes. It cannot be changed.'),
  engine: z.enum(['redis', 'valkey']).describe('The server. It cannot be changed.'),
  version: z.string().describe('Version of the engine as major.minor, in quotes: "9.1".'),
  mode: z
    .enum(['cluster', 'sentinel'])
    .default('cluster')
    .describe('`cluster`: keys spread over shards. `sentinel`: one primary with replicas, failed over by sentinels. It cannot be changed.'),
  shards: z.int().min(1).max(500).optional().describe('Primaries: 3 to 500 in cluster mode (3 when left out); always 1 in sentinel mode.'),
  replicasPerShard: z.int().min(0).max(5).default(1).describe('Replicas of each primary; at least 1 in sentinel mode.'),
  sentinels: z.int().optional().describe('3 or 5 in sentinel mode (3 when left out); none in cluster mode.'),
  resources: z
    .strictObject({
      memory: memorySize
        .default('256Mi')
        .describe("Memory limit of each node's container: 512Mi, 2Gi. maxmemory is 75 % of it unless `config` says otherwise."),
      cpus: cpuCount.default(1).describe("CPUs that each node's container may use."),
    })
    .prefault({})
    .describe('What each node may use.'),
  config: serverParameters.describe('Server parameters out of an allow-list; all of them can be changed while the cluster serves.'),
  persistence: z
    .strictObject({
      aof: z.boolean().default(true).describe('Keep an append-only file, so that a restart loses at most what `fsync` allows.'),
      fsync: z
        .enum(['always', 'everysec', 'no'])
        .default('everysec')
        .describe('When the append-only file is forced to disk: at each write, once a second, or when the kernel likes.'),
      snapshots: z.array(snapshot).max(5).default([]).describe('RDB snapshots: saved after so many seconds when so many keys changed.'),
    })
    .prefault({})
    .describe('What survives a restart.'),
  security: z
    .strictObject({
      tls: z
        .boolean()
        .default(true)
        .describe("TLS for clients, replication and the cluster bus, with a CA of the cluster's own. It cannot be changed."),
      users: z.array(user).max(100).default([]).describe('Users for applications.'),
    })
    .prefault({})
    .describe('Who may connect, and how.'),
  placement: z
    .strictObject({
      hosts: z
        .array(hostName)
        .length(1)
        .default(['local'])
        .describe('The Docker host of the cluster: the name that its worker has in HOLDFAST_HOST. One, until hosts share a network.'),
    })
    .prefault({})
    .describe('Where the nodes run.'),
  network: z
    .strictObject({
      subnet: z
        .cidrv4()
        .optional()
        .describe("The network's subnet, such as 10.50.1.0/24; without it a free one is taken from the worker's pool."),
    })
    .prefault({})
    .describe("The cluster's own network."),
  backup: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Back up on a schedule.'),
      schedule: cron.default('0 3 * * *').describe('When, as five cron fields: minute, hour, day of month, month, day of week.'),
      timezone: z
        .string()
        .refine(isTimezone, 'no such time zone: use a name such as Europe/Berlin, or UTC')
        .default('UTC')
        .describe('Time zone of the schedule.'),
      jitterSeconds: z
        .int()
        .min(0)
        .max(86_400)
        .default(600)
        .describe('Begin up to so many seconds later, at random: not all clusters at once.'),
      verify: z.enum(['load', 'checksum']).default('load').describe('How scheduled backups are verified.'),
      fromPrimary: z
        .boolean()
        .optional()
        .describe(
          'Scheduled backups read the primary of a shard that has no healthy replica; else they are refused then. When left out: `true` with `replicasPerShard: 0`, otherwise `false`.',
        ),
      retention: retention.prefault({}).describe('Which backups stay when they are rotated.'),
      drillEveryDays: z
        .int()
        .min(0)
        .max(366)
        .default(0)
        .describe(
          'After a scheduled backup the newest data is brought back beside the cluster and removed again (`drill`), when the last drill is so many days old; 0: never.',
        ),
    })
    .prefault({})
    .describe('Backups on a schedule, and how long they stay.'),
  pitr: z
    .strictObject({
      enabled: z.boolean().default(false).describe('Archive every write, so that the cluster can be brought back to any second.'),
      rpoSeconds: z.int().min(1).max(60).default(2).describe('A write is in the bucket so many seconds later, at most.'),
      windowDays: z.int().min(1).max(365).default(7).describe('To any second of the last so many days.'),
    })
    .prefault({})
    .describe('Recovery to a point in time.'),
  deletionProtection: z.boolean().default(true).describe('Refuse to deprovision the cluster unless forced.'),
  labels: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, 'a label name has lower-case letters, digits, dots and dashes'),
      z.string().max(255),
      // The message of the name's own schema: "Invalid key in record" helps nobody.
      { error: (issue) => (issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined) },
    )
    .default({})
    .describe('Labels for containers, volumes and the network, as `holdfast.user.<name>`.'),
});

/**
 * What a cluster shall be: the contract between a person and Holdfast, in YAML or JSON. Every field that can have a safe default has one.
 * Parsing fills all defaults in, and parsing the result again changes nothing.
 */
export const clusterSpec = fields
  .superRefine((spec, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
    if (findEngineVersion(spec.engine, spec.version) === undefined) {
      const known = engineCatalogue.filter((e) => e.engine === spec.engine).map((e) => `"${e.version}"`);
      refuse('version', `${spec.engine} ${spec.version} is not in the catalogue; known: ${known.join(', ')}`);
    }
    if (spec.mode === 'cluster') {
      if (spec.shards !== undefined && spec.shards < 3)
        refuse('shards', 'a cluster needs at least 3 shards to agree on a failover; for one primary use mode: sentinel');
      if (spec.sentinels !== undefined && spec.sentinels !== 0)
        refuse('sentinels', 'sentinels belong to mode: sentinel; a cluster watches itself');
    } else {
      if (spec.shards !== undefined && spec.shards !== 1)
        refuse('shards', 'sentinel mode has one primary: leave shards out, or use mode: cluster');
      if (spec.sentinels !== undefined && spec.sentinels !== 3 && spec.sentinels !== 5) refuse('sentinels', 'give 3 or 5 sentinels');
      if (spec.replicasPerShard < 1) refuse('replicasPerShard', 'sentinel mode needs at least one replica to fail over to');
      for (const name of Object.keys(spec.config))
        if (name.startsWith('cluster-')) refuse('config', `${name} has no meaning in sentinel mode`);
    }
    const maxmemory = spec.config.maxmemory === undefined ? undefined : serverBytes(spec.config.maxmemory);
    const limit = parseBytes(spec.resources.memory);
    if (maxmemory !== undefined && (maxmemory === 0 || maxmemory > limit * 0.9))
      refuse(
        'config',
        `maxmemory ${spec.config.maxmemory} must be above 0 and at most 90 % of resources.memory (${spec.resources.memory}): the rest is for buffers and forks`,
      );
    const nodes = (spec.shards ?? 3) * (1 + spec.replicasPerShard);
    if (nodes > 1000) refuse('shards', `${nodes} nodes are more than the 1000 that a cluster's gossip bears`);
    const seen = new Set<string>();
    for (const { name } of spec.security.users) {
      if (seen.has(name)) refuse('security', `user ${name} is there twice`);
      seen.add(name);
    }
  })
  .transform((spec) => ({
    ...spec,
    shards: spec.mode === 'cluster' ? (spec.shards ?? 3) : 1,
    sentinels: spec.mode === 'sentinel' ? (spec.sentinels ?? 3) : 0,
  }));

export type ClusterSpec = z.output<typeof clusterSpec>;
export type ClusterSpecInput = z.input<typeof clusterSpec>;

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, Ki: 1024, Mi: 1024 ** 2, Gi: 1024 ** 3 };

/** Bytes of a size such as `512Mi`, `2Gi` or `500M`. */
export function parseBytes(size: string): number {
  const match = /^(\d+)(Ki|Mi|Gi|K|M|G)?$/.exec(size);
  return match === null ? Number.NaN : Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN);
}
