import { type ClusterSpec, parseBytes } from '../config/cluster-spec.ts';
import { findEngineVersion } from '../config/engines.ts';
import { nodePaths, ports, sentinelMasterName, systemUsers } from '../config/names.ts';
import { digest } from './layout.ts';

/** Passwords of a cluster's system users. */
export interface SystemPasswords {
  readonly operator: string;
  readonly replication: string;
  readonly sentinel: string;
}

/** A user of the spec with the SHA-256 of its password, in hex: what an ACL file holds. */
export interface HashedUser {
  readonly name: string;
  readonly rules: string;
  readonly passwordSha256: string;
}

/** maxmemory of a node, unless the spec's `config` sets it: 75 % of the container's limit; the rest is for buffers, forks and fragmentation. */
export const maxmemoryOf = (spec: ClusterSpec): number => Math.floor(parseBytes(spec.resources.memory) * 0.75);

/** `save` as the server takes it; the empty string switches snapshots off. */
const snapshotsOf = (spec: ClusterSpec): string => spec.persistence.snapshots.map((s) => `${s.seconds} ${s.changes}`).join(' ');

const [MIB, LEAST_BACKLOG, MOST_BACKLOG] = [1024 ** 2, 16, 1024];

/**
 * How much of its writes a server keeps for replicas that come back. An archive lives by it while its worker or the object store is away: it gets an eighth of the memory then.
 */
function backlogOf({ pitr, resources }: Omit<ClusterSpec, 'pitr'> & Partial<Pick<ClusterSpec, 'pitr'>>): string {
  const eighth = Math.floor(parseBytes(resources.memory) / 8 / MIB);
  // An operation that was begun by an earlier version has a spec without it.
  return `${pitr?.enabled === true ? Math.min(MOST_BACKLOG, Math.max(LEAST_BACKLOG, eighth)) : LEAST_BACKLOG}mb`;
}

/**
 * What a node must be set to so that no failover that nobody asked for makes it the primary, and its value otherwise. A spec cannot set them.
 * Sentinels never choose a replica of priority 0; a replica without failover holds no election, nor ends one that it has begun.
 */
export const retirement = (spec: ClusterSpec): { readonly parameter: string; readonly retired: string; readonly usual: string } =>
  spec.mode === 'sentinel'
    ? { parameter: 'replica-priority', retired: '0', usual: '100' }
    : { parameter: 'cluster-replica-no-failover', retired: 'yes', usual: 'no' };

/**
 * With these no client writes: a primary takes writes only while so many replicas follow it. It reads and replicates as before. No spec says so.
 * Source: the servers' `redis.conf`, `min-replicas-to-write`, which 0 of either switches off.
 */
export const refusesWrites = { 'min-replicas-to-write': '2147483647', 'min-replicas-max-lag': '10' } as const;

/** The one of them that says whether a node is set so. */
export const refusingParameter = 'min-replicas-to-write' satisfies keyof typeof refusesWrites;

/** @param parameters of a node, `refusingParameter` among them */
export const isRefusing = (parameters: Readonly<Record<string, string>>): boolean =>
  parameters[refusingParameter] === refusesWrites[refusingParameter];

/** The parameters that keep clients from writing, as the spec has them. */
export const takesWrites = (spec: ClusterSpec): Readonly<Record<keyof typeof refusesWrites, string>> => ({
  'min-replicas-to-write': spec.config['min-replicas-to-write'] ?? '0',
  'min-replicas-max-lag': spec.config['min-replicas-max-lag'] ?? '10',
});

/**
 * Server parameters that follow from a spec and can be changed while the server runs. `configure` sets exactly these.
 * Replicas sync at once: a delay serves many replicas at once, and Holdfast adds them one at a time.
 */
export function liveParameters(spec: ClusterSpec): Readonly<Record<string, string>> {
  return {
    ...(spec.mode === 'cluster' ? { 'cluster-node-timeout': '5000', 'cluster-allow-replica-migration': 'no' } : {}),
    [retirement(spec).parameter]: retirement(spec).usual,
    'repl-diskless-sync-delay': '0',
    'repl-backlog-size': backlogOf(spec),
    maxmemory: String(maxmemoryOf(spec)),
    appendonly: spec.persistence.aof ? 'yes' : 'no',
    appendfsync: spec.persistence.fsync,
    save: snapshotsOf(spec),
    ...takesWrites(spec),
    ...spec.config,
  };
}

function tlsLines(port: number): readonly string[] {
  return [
    'port 0',
    `tls-port ${port}`,
    `tls-ca-cert-file ${nodePaths.caCert}`,
    `tls-cert-file ${nodePaths.cert}`,
    `tls-key-file ${nodePaths.key}`,
    'tls-auth-clients optional',
    'tls-replication yes',
  ];
}

const quote = (value: string): string => (value === '' || /\s/.test(value) ? `"${value}"` : value);

/** The first server.conf of a data node; from then on the server keeps it by CONFIG REWRITE. `replicaOf` is for sentinel mode. */
export function renderServerConf(spec: ClusterSpec, address: string, passwords: SystemPasswords, replicaOf?: string): string {
  const { 'client-output-buffer-limit': buffers, save, ...single } = liveParameters(spec);
  const lines = [
    `bind ${address} 127.0.0.1`,
    ...(spec.security.tls ? tlsLines(ports.server) : [`port ${ports.server}`]),
    'daemonize no',
    `dir ${nodePaths.db}`,
    `aclfile ${nodePaths.aclFile}`,
    `masteruser ${systemUsers.replication}`,
    `masterauth ${passwords.replication}`,
    ...(spec.mode === 'cluster'
      ? [
          'cluster-enabled yes',
          'cluster-config-file nodes.conf',
          `cluster-announce-ip ${address}`,
          ...(spec.security.tls ? ['tls-cluster yes'] : []),
        ]
      : [`replica-announce-ip ${address}`, ...(replicaOf === undefined ? [] : [`replicaof ${replicaOf} ${ports.server}`])]),
    ...Object.entries(single).map(([name, value]) => `${name} ${quote(value)}`),
    ...(spec.persistence.snapshots.length === 0 ? ['save ""'] : spec.persistence.snapshots.map((s) => `save ${s.seconds} ${s.changes}`)),
    ...bufferLimits(buffers).map((limit) => `client-output-buffer-limit ${limit}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** The configuration of a server from which data is copied into a cluster: it speaks as that cluster does, and keeps nothing. */
export const renderScratchConf = (spec: ClusterSpec, address: string, password: string): string =>
  [
    `bind ${address}`,
    ...(spec.security.tls ? [...tlsLines(ports.server), 'tls-cluster yes'] : [`port ${ports.server}`]),
    'daemonize no',
    `dir ${nodePaths.db}`,
    'save ""',
    'appendonly yes',
    'appendfsync no',
    'auto-aof-rewrite-percentage 0',
    'rdbcompression no', // it packs each value that it sends, and does nothing else meanwhile
    `user default off ${defaultRules.runsScript}`,
    `user ${systemUsers.operator} on #${digest(password)} ${systemRules.operator}`,
    '',
  ].join('\n');

const without = (conf: string, names: RegExp): string =>
  `${conf
    .split('\n')
    .filter((line) => !names.test(line))
    .join('\n')
    .trimEnd()}\n`;

/** A server.conf, whoever wrote it, for a server that shall start as a primary. */
export const withoutReplicaOf = (conf: string): string => without(conf, /^\s*(replicaof|slaveof)\s/i);

/** A server.conf, whoever wrote it, for a server that shall start as a replica of another. */
export const withReplicaOf = (conf: string, primaryAddress: string): string =>
  `${withoutReplicaOf(conf)}replicaof ${primaryAddress} ${ports.server}\n`;

/** A server.conf, whoever wrote it, for a server that shall load the append-only files of this folder; or begin empty, when it is not there. */
export const withData = (conf: string, folder: string): string =>
  `${without(conf, /^\s*(appendonly|appenddirname)\s/i)}appendonly yes\nappenddirname ${folder}\n`;

/** A server.conf, whoever wrote it, for a server that takes writes as the spec has it. */
export const withWrites = (conf: string, spec: ClusterSpec): string =>
  `${without(conf, /^\s*min-replicas-(to-write|max-lag)\s/i)}${Object.entries(takesWrites(spec))
    .map(([name, value]) => `${name} ${value}\n`)
    .join('')}`;

/** A server.conf that no server starts with; what it says about it stands in its log. */
export const barredConf = (replacement: string): string =>
  `the-data-of-this-node-is-being-replaced "by a restore in place (${replacement}) that has not ended: run it again"\n`;

/** `normal 0 0 0 pubsub 32mb 8mb 60` has one class every four words; the file wants one a line. */
function bufferLimits(value: string | undefined): readonly string[] {
  const words = value?.split(' ') ?? [];
  return Array.from({ length: Math.floor(words.length / 4) }, (_, i) => words.slice(i * 4, i * 4 + 4).join(' '));
}

const acl = (name: string, sha256: string, rules: string): string => `user ${name} on #${sha256} ${rules}`;

/** The ACL rules of the users that Holdfast makes itself on data nodes. */
export const systemRules = {
  operator: '~* &* +@all',
  replication: '+psync +replconf +ping',
  /** What a sentinel needs on the servers that it watches (documented with Sentinel's ACL). */
  sentinel:
    'allchannels +multi +slaveof +replicaof +ping +exec +subscribe +config|rewrite +role +publish +info +client|setname +client|kill +script|kill',
} as const;

/**
 * Valkey 9 sends the slots that it moves by itself as the replication user, and plays everything that is written to them meanwhile: any command
 * of an application, and none that administers. Other servers would refuse a file that names its command.
 */
const replicationRules = (spec: ClusterSpec): string =>
  spec.engine === 'valkey' && findEngineVersion(spec.engine, spec.version)?.atomicSlotMigration === true
    ? '~* &* +@all -@admin +psync +replconf +cluster|syncslots'
    : systemRules.replication;

/**
 * The default user is off: nobody can be it. But what scripts in an append-only file may do while a server loads it goes by its rules, and servers up to Redis 8.0 and Valkey 8.1 end with a segmentation fault
 * when they may not.
 */
export const defaultRules = { usual: 'resetkeys resetchannels -@all', runsScript: 'resetchannels ~* &* +@all' } as const;

/** The ACL file of a data node: nobody is anybody by default, and each system user has what it needs and no more. */
export function renderAcl(
  spec: ClusterSpec,
  passwords: SystemPasswords,
  users: readonly HashedUser[],
  { runsScript = false }: { readonly runsScript?: boolean } = {},
): string {
  const lines = [
    `user default off ${runsScript ? defaultRules.runsScript : defaultRules.usual}`,
    acl(systemUsers.operator, digest(passwords.operator), systemRules.operator),
    acl(systemUsers.replication, digest(passwords.replication), replicationRules(spec)),
    ...(spec.mode === 'sentinel' ? [acl(systemUsers.sentinel, digest(passwords.sentinel), systemRules.sentinel)] : []),
    ...users.map((user) => acl(user.name, user.passwordSha256, user.rules)),
  ];
  return `${lines.join('\n')}\n`;
}

/** What an application may ask of a sentinel: where the primary is, and news about it. */
const sentinelClientRules =
  'resetkeys &* -@all +ping +hello +auth +info +role +client +subscribe +psubscribe +unsubscribe +punsubscribe ' +
  '+sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters +sentinel|replicas +sentinel|slaves +sentinel|sentinels';

/** The ACL file of a sentinel. Sentinels speak to one another as the sentinel user. */
export function renderSentinelAcl(passwords: SystemPasswords, users: readonly HashedUser[]): string {
  const lines = [
    'user default off resetkeys resetchannels -@all',
    acl(systemUsers.operator, digest(passwords.operator), systemRules.operator),
    acl(systemUsers.sentinel, digest(passwords.sentinel), systemRules.operator),
    ...users.map((user) => acl(user.name, user.passwordSha256, sentinelClientRules)),
  ];
  return `${lines.join('\n')}\n`;
}

/** How many sentinels must agree that the primary is gone: a majority. */
export const quorumOf = (spec: ClusterSpec): number => Math.floor(spec.sentinels / 2) + 1;

/**
 * The first configuration of a sentinel; from then on the sentinel keeps it itself. A failover that came to nothing (no
 * majority elected its leader, or what it knew of the replicas was too old) is tried again after twice `failover-timeout`:
 * the servers' default of three minutes leaves a shard without a primary for six. Source: the servers' `sentinel.conf`.
 */
export function renderSentinelConf(spec: ClusterSpec, address: string, primaryAddress: string, passwords: SystemPasswords): string {
  const name = sentinelMasterName(spec.name);
  const lines = [
    `bind ${address} 127.0.0.1`,
    ...(spec.security.tls ? tlsLines(ports.sentinel) : [`port ${ports.sentinel}`]),
    'daemonize no',
    'protected-mode no',
    `dir ${nodePaths.db}`,
    `aclfile ${nodePaths.aclFile}`,
    `sentinel announce-ip ${address}`,
    `sentinel announce-port ${ports.sentinel}`,
    `sentinel sentinel-user ${systemUsers.sentinel}`,
    `sentinel sentinel-pass ${passwords.sentinel}`,
    `sentinel monitor ${name} ${primaryAddress} ${ports.server} ${quorumOf(spec)}`,
    `sentinel auth-user ${name} ${systemUsers.sentinel}`,
    `sentinel auth-pass ${name} ${passwords.sentinel}`,
    `sentinel down-after-milliseconds ${name} 5000`,
    `sentinel failover-timeout ${name} 10000`,
    `sentinel parallel-syncs ${name} 1`,
  ];
  return `${lines.join('\n')}\n`;
}
