/**
 * Every name that Holdfast gives to anything is made here: workflow ids, task queues, containers, volumes, networks, labels and object keys.
 * Names do not carry roles: which node is a primary is a fact to observe.
 */

/** The long-lived workflow that holds a cluster's spec, generation and journal. */
export const keeperWorkflowId = (cluster: string) => `cluster/${cluster}`;

/** The child workflow that an operation holds while it works on a cluster; the server lets one of them run at a time. */
export const lockWorkflowId = (cluster: string) => `cluster/${cluster}/lock`;

/** Child workflows that operations hold while they read what is stored of a cluster; so many at once. Rotations leave that alone. */
export const readingWorkflowIds = (cluster: string): readonly string[] =>
  Array.from({ length: 8 }, (_, place) => `cluster/${cluster}/reading/${place}`);

/** The long-lived workflow that archives a cluster's writes. */
export const archiveWorkflowId = (cluster: string) => `cluster/${cluster}/archive`;

/** The id that our own starters give to an operation. People may use any other. */
export const operationWorkflowId = (cluster: string, operation: string, unique: string) => `cluster/${cluster}/${operation}/${unique}`;

/** The schedule of a cluster's backups. */
export const backupScheduleId = (cluster: string) => `cluster/${cluster}/backups`;

/** What a schedule starts; the server puts a dash and the time behind it. */
export const scheduledBackupWorkflowId = (cluster: string) => `cluster/${cluster}/scheduled-backup/run`;

/** The id of a workflow that only looks at all clusters. */
export const listWorkflowId = (unique: string) => `list/${unique}`;

/** The id of a workflow that looks at the keys of all clusters. */
export const listKeysWorkflowId = (unique: string) => `list-keys/${unique}`;

/** Workflows and light activities. */
export const WORKFLOW_TASK_QUEUE = 'holdfast';

/** Waits for other operations to end; many at a time, so that they take no room from those who end them. */
export const WAITING_TASK_QUEUE = 'holdfast-waiting';

/** Activities that must run next to one host's engine. */
export const hostTaskQueue = (host: string) => `host/${host}`;

/** Activities that move data between the nodes of one host's clusters: few at a time. */
export const hostDataTaskQueue = (host: string) => `host/${host}/data`;

/** Activities that archive the writes of one host's clusters: one for each shard, and each lives for ever. */
export const hostArchiveTaskQueue = (host: string) => `host/${host}/archive`;

/** Keys that the probe of a move writes into the slots that move; they end with the operation, or by themselves. `tag` hashes to the slot. */
export const probeKey = (tag: string) => `holdfast:probe:{${tag}}`;

/** Search attributes, all of type Keyword. */
export const searchAttributes = { cluster: 'HoldfastCluster', operation: 'HoldfastOperation', engine: 'HoldfastEngine' } as const;

/** The name of a data node; also of its container. `shard` and `ordinal` count from 0. */
export const nodeName = (cluster: string, shard: number, ordinal: number) => `${cluster}-${shard}-${ordinal}`;

/** The name of a sentinel; also of its container. */
export const sentinelName = (cluster: string, ordinal: number) => `${cluster}-sentinel-${ordinal}`;

/** The volume of a node or sentinel. */
export const volumeName = (node: string) => `${node}-data`;

/** The container and the volume that a shard of a backup is loaded in. The same for every attempt, so that each finds what the last one left. */
export const scratchName = (cluster: string, backup: string, shard: number) =>
  `holdfast-scratch-${cluster}-${backup.toLowerCase()}-${shard}`;

/** The cluster that a drill makes and removes. */
export const drillName = (cluster: string) => `${cluster.slice(0, 34)}-drill`;

/** The cluster's own network. */
export const networkName = (cluster: string) => `holdfast-${cluster}`;

/** The name under which sentinels watch the primary: what a client asks them for. */
export const sentinelMasterName = (cluster: string) => cluster;

/** Labels on everything that Holdfast makes in an engine. */
export const labels = {
  cluster: 'holdfast.cluster',
  /** Made once for each cluster; tells two clusters of the same name, of two installations, apart. */
  clusterId: 'holdfast.cluster-id',
  node: 'holdfast.node',
  /** `data` or `sentinel`. */
  kind: 'holdfast.kind',
  shard: 'holdfast.shard',
  specHash: 'holdfast.spec-hash',
  generation: 'holdfast.generation',
  /**
   * On the container and volume that a backup is loaded in to be verified: the backup's id. They carry no label of the cluster, or they would be taken for nodes.
   */
  scratch: 'holdfast.scratch',
  /** Labels of the user's spec, with this prefix. */
  userPrefix: 'holdfast.user.',
} as const;

/** Object keys in the bucket. */
export const objectKeys = {
  clusters: 'clusters/',
  clusterPrefix: (cluster: string) => `clusters/${cluster}/`,
  /** The spec that was accepted last, in plain JSON: it holds no secret. */
  spec: (cluster: string) => `clusters/${cluster}/spec.json`,
  /** That a restore into it has begun, and not ended. */
  restoring: (cluster: string) => `clusters/${cluster}/restoring.json`,
  /** Every spec that was ever accepted, by generation. */
  acceptedSpecs: (cluster: string) => `clusters/${cluster}/specs/`,
  acceptedSpec: (cluster: string, generation: number) => `clusters/${cluster}/specs/${generation}.json`,
  /** The cluster's id, CA and passwords, sealed. */
  secrets: (cluster: string) => `clusters/${cluster}/secrets.sealed`,
} as const;

/** Digits of an offset in a key: enough for 2^53, so that keys sort as offsets do. */
const OFFSET_DIGITS = 16;
/** Digits of a time in ms: enough until the year 2286. */
const TIME_DIGITS = 13;

/** What the key of an archived piece of a shard's stream says of it, so that one listing tells where a restore has to read. */
export interface SegmentName {
  readonly cluster: string;
  readonly shard: number;
  /** Names one unbroken line of writes; a shard begins another one when it is cut. Letters, digits and dashes. */
  readonly timeline: string;
  /** Replication offset of its first byte. */
  readonly startOffset: number;
  /** Replication offset after its last byte: the next segment's start. */
  readonly endOffset: number;
  /** Its first and last stamp, ms since 1970, by the server's clock; of a piece without any, the last one before it. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** First eight digits of the replication id that it came under: a former primary that writes on does so under the same id, but beyond where the next one took over. */
  readonly stream: string;
}

/** What is known of a place in a timeline. */
export interface FactName {
  readonly cluster: string;
  readonly shard: number;
  readonly timeline: string;
  readonly kind: string;
  readonly offset: number;
  /** When it was seen, ms since 1970, by the worker's clock. */
  readonly ms: number;
}

const digits = (value: number, width: number) => String(value).padStart(width, '0');

/**
 * Object keys of backups, of archived streams, and of the keys that both are sealed under. None of them lies under `clusters/`: they outlive
 * the cluster.
 */
export const backupKeys = {
  backups: (cluster: string) => `backups/${cluster}/`,
  backup: (cluster: string, id: string) => `backups/${cluster}/${id}/`,
  /** Written last, in plain JSON: what has no manifest is no backup. */
  manifest: (cluster: string, id: string) => `backups/${cluster}/${id}/manifest.json`,
  /** `unique` tells attempts apart: one that was given up, and still writes, must not replace what the manifest names. */
  shard: (cluster: string, id: string, shard: number, unique: string) => `backups/${cluster}/${id}/shard-${shard}.${unique}.rdb.sealed`,
  /** The users' rules, with the hashes of their passwords. */
  acl: (cluster: string, id: string, unique: string) => `backups/${cluster}/${id}/acl.${unique}.sealed`,
  timelines: (cluster: string, shard: number) => `archive/${cluster}/${shard}/`,
  timeline: (cluster: string, shard: number, timeline: string) => `archive/${cluster}/${shard}/${timeline}/`,
  archives: (cluster: string) => `archive/${cluster}/`,
  /** Written when the timeline's base is complete: what has none is no timeline. */
  begin: (cluster: string, shard: number, timeline: string) => `archive/${cluster}/${shard}/${timeline}/begin.json`,
  base: (cluster: string, shard: number, timeline: string, unique: string) =>
    `archive/${cluster}/${shard}/${timeline}/base.${unique}.rdb.sealed`,
  segment: ({ cluster, shard, timeline, startOffset, endOffset, firstMs, lastMs, stream }: SegmentName) =>
    `archive/${cluster}/${shard}/${timeline}/${digits(startOffset, OFFSET_DIGITS)}-${digits(endOffset, OFFSET_DIGITS)}-${digits(firstMs, TIME_DIGITS)}-${digits(lastMs, TIME_DIGITS)}.${stream}.resp.sealed`,
  fact: ({ cluster, shard, timeline, kind, offset, ms }: FactName) =>
    `archive/${cluster}/${shard}/${timeline}/${digits(offset, OFFSET_DIGITS)}-${digits(ms, TIME_DIGITS)}.${kind}.json`,
  /** What the last drill found. */
  drill: (cluster: string) => `backups/${cluster}/drill.json`,
  /** What is known of the manifests, so that they need not all be read: never the truth. */
  index: (cluster: string) => `backups/${cluster}/index.json`,
  allKeyCopies: 'keys/',
  keyCopies: (cluster: string) => `keys/${cluster}/`,
  /** One key-encryption key under one master key. */
  keyCopy: (cluster: string, id: string, masterKeyId: string) => `keys/${cluster}/${id}.${masterKeyId}.sealed`,
} as const;

/** Reads what `backupKeys.segment` wrote; undefined for any other key. */
export function parseSegmentKey(key: string): SegmentName | undefined {
  const [, cluster, shard, timeline, start, end, first, last, stream] =
    /^archive\/([^/]+)\/(\d+)\/([^/]+)\/(\d{16})-(\d{16})-(\d{13})-(\d{13})\.([0-9a-f]{8})\.resp\.sealed$/.exec(key) ?? [];
  if (cluster === undefined || timeline === undefined || stream === undefined) return undefined;
  const numbers = { startOffset: Number(start), endOffset: Number(end), firstMs: Number(first), lastMs: Number(last) };
  return { cluster, shard: Number(shard), timeline, ...numbers, stream };
}

/** Reads what `backupKeys.fact` wrote; undefined for any other key. */
export function parseFactKey(key: string): FactName | undefined {
  const [, cluster, shard, timeline, offset, ms, kind] =
    /^archive\/([^/]+)\/(\d+)\/([^/]+)\/(\d{16})-(\d{13})\.([a-z]+)\.json$/.exec(key) ?? [];
  if (cluster === undefined || timeline === undefined || kind === undefined) return undefined;
  return { cluster, shard: Number(shard), timeline, kind, offset: Number(offset), ms: Number(ms) };
}

/** Where things lie in a node's volume, which is mounted at `/data`. */
export const nodePaths = {
  mount: '/data',
  conf: '/data/conf',
  serverConf: '/data/conf/server.conf',
  aclFile: '/data/conf/users.acl',
  tls: '/data/tls',
  caCert: '/data/tls/ca.crt',
  cert: '/data/tls/node.crt',
  key: '/data/tls/node.key',
  db: '/data/db',
  nodesConf: '/data/db/nodes.conf',
  /** Of a node that is made with data: what the data is, and whether all of it is there. */
  restore: '/data/conf/restore.json',
  /** Of a node whose data is being replaced, until that is done or taken back. */
  replacing: '/data/conf/replacing.json',
  appendOnly: '/data/db/appendonlydir',
} as const;

/** Ports inside the cluster's network. Each node has an address of its own, so all use the same ones. */
export const ports = { server: 6379, bus: 16379, sentinel: 26379 } as const;

/** ACL users that Holdfast makes in every cluster; a spec cannot define users of these names. */
export const systemUsers = { operator: 'holdfast', replication: 'holdfast-replication', sentinel: 'holdfast-sentinel' } as const;

/** Also the server's own, which is off. */
export const isOwnUser = (name: string): boolean => name === 'default' || Object.values<string>(systemUsers).includes(name);
