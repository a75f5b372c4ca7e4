import { z } from 'zod';
import { engineCatalogue, findEngineVersion } from './engines.ts';
import { systemUsers } from './names.ts';
import { serverParameters } from './server-parameters.ts';

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
const memorySize = z
  .string()
  .regex(/^[1-9]\d*(Ki|Mi|Gi|K|M|G)?$/, 'a size looks like 512Mi or 2Gi')
  .refine((size) => parseBytes(size) >= 64 * 1024 ** 2, 'a node needs at least 64Mi');

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
    .refine(
      (name) => name !== 'default' && !Object.values<string>(systemUsers).includes(name),
      'this user belongs to Holdfast: choose another name',
    ),
  /** ACL rules as `ACL SETUSER` takes them, without passwords: `~app:* +@all -@admin -@dangerous`. */
  rules: z
    .string()
    .min(1)
    .refine(
      (rules) => !/(^|\s)([><#!]\S*|nopass|resetpass|reset)(\s|$)/i.test(rules),
      'rules cannot hold passwords, nopass or reset: use secret',
    )
    .refine((rules) => !/[\r\n"'\\]/.test(rules), 'rules are one line without quotes or backslashes')
    .default('~* &* +@all -@admin -@dangerous'),
  secret: secretReference,
});

const snapshot = z.strictObject({
  seconds: z.int().min(1),
  changes: z.int().min(1),
});

const fields = z.strictObject({
  name: clusterName,
  engine: z.enum(['redis', 'valkey']),
  version: z.string().describe('major.minor, as a string: "9.1"'),
  mode: z.enum(['cluster', 'sentinel']).default('cluster'),
  /** Primaries. 3 to 500 in cluster mode; always 1 in sentinel mode. */
  shards: z.int().min(1).max(500).optional(),
  replicasPerShard: z.int().min(0).max(5).default(1),
  /** 3 or 5 in sentinel mode; none in cluster mode. */
  sentinels: z.int().optional(),
  resources: z
    .strictObject({
      /** Limit of each node's container. maxmemory is 75 % of it unless `config` says otherwise. */
      memory: memorySize.default('256Mi'),
      /** CPUs that each node's container may use. */
      cpus: z.number().min(0.1).max(64).default(1),
    })
    .prefault({}),
  config: serverParameters,
  persistence: z
    .strictObject({
      aof: z.boolean().default(true),
      fsync: z.enum(['always', 'everysec', 'no']).default('everysec'),
      /** RDB snapshots: saved after so many seconds when so many keys changed. */
      snapshots: z.array(snapshot).max(5).default([]),
    })
    .prefault({}),
  security: z
    .strictObject({
      tls: z.boolean().default(true),
      users: z.array(user).max(100).default([]),
    })
    .prefault({}),
  placement: z
    .strictObject({
      /** The Docker host of the cluster; one, until hosts share a network. */
      hosts: z.array(hostName).length(1).default(['local']),
    })
    .prefault({}),
  network: z
    .strictObject({
      /** The network's subnet; without it a free one is taken from the worker's pool. */
      subnet: z.cidrv4().optional(),
    })
    .prefault({}),
  deletionProtection: z.boolean().default(true),
  labels: z
    .record(
      z.string().regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, 'a label name has lower-case letters, digits, dots and dashes'),
      z.string().max(255),
    )
    .default({}),
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
