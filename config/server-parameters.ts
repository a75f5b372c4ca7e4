import { z } from 'zod';

/** How a server parameter's value must look. */
interface ServerParameter {
  readonly pattern: RegExp;
  readonly looks: string;
}

const integer: ServerParameter = { pattern: /^-?\d{1,15}$/, looks: 'a whole number' };
const bytes: ServerParameter = { pattern: /^\d{1,15}(b|k|kb|m|mb|g|gb)?$/i, looks: 'a size such as 64mb' };
const yesNo: ServerParameter = { pattern: /^(yes|no)$/, looks: 'yes or no' };
const oneOf = (...values: string[]): ServerParameter => ({ pattern: new RegExp(`^(${values.join('|')})$`), looks: values.join(', ') });

/** Server parameters that a spec may set. All of them can be changed on a running server, on every version of the catalogue. */
export const allowedServerParameters: Readonly<Record<string, ServerParameter>> = {
  'active-expire-effort': integer,
  activedefrag: yesNo,
  'auto-aof-rewrite-min-size': bytes,
  'auto-aof-rewrite-percentage': integer,
  'client-output-buffer-limit': {
    pattern: /^(normal|replica|slave|pubsub)( \S+){3}( (normal|replica|slave|pubsub)( \S+){3})*$/,
    looks: 'class, hard limit, soft limit, seconds',
  },
  'client-query-buffer-limit': bytes,
  'cluster-allow-reads-when-down': yesNo,
  'cluster-node-timeout': integer,
  'cluster-replica-validity-factor': integer,
  'cluster-require-full-coverage': yesNo,
  'hash-max-listpack-entries': integer,
  'hash-max-listpack-value': bytes,
  hz: integer,
  'latency-monitor-threshold': integer,
  'lazyfree-lazy-eviction': yesNo,
  'lazyfree-lazy-expire': yesNo,
  'lazyfree-lazy-server-del': yesNo,
  'lazyfree-lazy-user-del': yesNo,
  'lazyfree-lazy-user-flush': yesNo,
  'lfu-decay-time': integer,
  'lfu-log-factor': integer,
  'list-max-listpack-size': integer,
  loglevel: oneOf('debug', 'verbose', 'notice', 'warning'),
  maxclients: integer,
  maxmemory: bytes,
  'maxmemory-policy': oneOf(
    'noeviction',
    'allkeys-lru',
    'allkeys-lfu',
    'allkeys-random',
    'volatile-lru',
    'volatile-lfu',
    'volatile-random',
    'volatile-ttl',
  ),
  'maxmemory-samples': integer,
  'min-replicas-max-lag': integer,
  'min-replicas-to-write': integer,
  'notify-keyspace-events': { pattern: /^[KEg$lshzxetdmnA]*$/, looks: 'letters of keyspace event classes' },
  'repl-backlog-size': bytes,
  'repl-backlog-ttl': integer,
  'repl-diskless-sync-delay': integer,
  'repl-timeout': integer,
  'set-max-intset-entries': integer,
  'slowlog-log-slower-than': integer,
  'slowlog-max-len': integer,
  'stream-node-max-bytes': bytes,
  'stream-node-max-entries': integer,
  'tcp-keepalive': integer,
  timeout: integer,
  'tracking-table-max-keys': integer,
  'zset-max-listpack-entries': integer,
  'zset-max-listpack-value': bytes,
};

const inSpec = (field: string) => `Holdfast owns it: set ${field} in the spec`;
const placed = 'Holdfast owns it: it decides where a node listens and where its files lie';
const cluster = 'Holdfast owns it: it forms the cluster';

/** Server parameters that Holdfast sets itself, each with the reason that a person is told. */
export const ownedServerParameters: Readonly<Record<string, string>> = {
  aclfile: inSpec('security.users'),
  appenddirname: placed,
  appendfilename: placed,
  appendfsync: inSpec('persistence.fsync'),
  appendonly: inSpec('persistence.aof'),
  bind: placed,
  'cluster-allow-replica-migration': 'Holdfast owns it: a replica stays in its shard, as the spec counts it',
  'cluster-migration-barrier': 'it has no meaning: a replica stays in its shard, as the spec counts it',
  'cluster-announce-bus-port': placed,
  'cluster-announce-ip': placed,
  'cluster-announce-port': placed,
  'cluster-announce-tls-port': placed,
  'cluster-config-file': placed,
  'cluster-enabled': inSpec('mode'),
  'cluster-port': placed,
  daemonize: 'Holdfast owns it: the container runs the server itself',
  dbfilename: placed,
  dir: placed,
  'enable-debug-command': 'it lets any client with the right stop the server',
  'enable-module-command': 'it lets any client with the right load code into the server',
  'enable-protected-configs': 'it lets any client with the right write files where it likes',
  include: placed,
  loadmodule: 'modules are not supported yet',
  logfile: 'Holdfast owns it: logs go to the container',
  masterauth: inSpec('security.users'),
  masteruser: inSpec('security.users'),
  pidfile: placed,
  port: placed,
  primaryauth: inSpec('security.users'),
  primaryuser: inSpec('security.users'),
  'protected-mode': 'Holdfast owns it: the default user is off',
  'rename-command': 'Holdfast needs the commands under their names; take them away by security.users rules',
  replicaof: cluster,
  requirepass: inSpec('security.users'),
  save: inSpec('persistence.snapshots'),
  slaveof: cluster,
  'tls-auth-clients': inSpec('security.tls'),
  'tls-ca-cert-file': inSpec('security.tls'),
  'tls-cert-file': inSpec('security.tls'),
  'tls-cluster': inSpec('security.tls'),
  'tls-key-file': inSpec('security.tls'),
  'tls-port': placed,
  'tls-replication': inSpec('security.tls'),
  unixsocket: placed,
  user: inSpec('security.users'),
};

/** Server parameters of a spec: names of the allow-list, values as the server writes them. Numbers may be given as numbers. */
export const serverParameters = z
  .record(z.string(), z.union([z.string(), z.number()]).transform(String))
  .default({})
  .superRefine((parameters, context) => {
    for (const [name, value] of Object.entries(parameters)) {
      // Names such as `constructor` are found in every object: only what stands in the lists counts.
      const allowed = Object.hasOwn(allowedServerParameters, name) ? allowedServerParameters[name] : undefined;
      const owned = Object.hasOwn(ownedServerParameters, name) ? ownedServerParameters[name] : undefined;
      const refuse = (message: string) => context.addIssue({ code: 'custom', path: [name], message });
      if (owned !== undefined) refuse(`${name} cannot be set here: ${owned}`);
      else if (allowed === undefined) refuse(`${name} is not in the list of parameters that a spec may set; see docs/spec.md`);
      else if (!allowed.pattern.test(value)) refuse(`${name}: ${JSON.stringify(value)} is not ${allowed.looks}`);
    }
  });

const SERVER_UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1e3, kb: 1024, m: 1e6, mb: 1024 ** 2, g: 1e9, gb: 1024 ** 3 };

/** Bytes of a size the way servers read it: `64mb` is 64 x 1024^2, `64m` is 64 x 10^6. NaN when it is no size. */
export function serverBytes(size: string): number {
  const match = /^(\d+)(b|kb?|mb?|gb?)?$/i.exec(size);
  return match === null ? Number.NaN : Number(match[1]) * (SERVER_UNITS[(match[2] ?? '').toLowerCase()] ?? Number.NaN);
}
