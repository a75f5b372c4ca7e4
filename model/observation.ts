/**
 * What was seen of a cluster at one moment: what its engine holds and what every node answered. Activities make it; everything in model/
 * reasons from it. It is bounded in size: views of the cluster that agree are carried once.
 */
export interface Observation {
  readonly cluster: string;
  /** ISO 8601. */
  readonly observedAt: string;
  readonly host: ObservedHost;
  readonly network?: ObservedNetwork;
  readonly containers: readonly ObservedContainer[];
  readonly volumes: readonly ObservedVolume[];
  /** Things in the engine that bear a name of this cluster but not its labels. */
  readonly foreign: readonly string[];
  /** Data nodes, whether they answered or not; one for each data container that runs. */
  readonly nodes: readonly ObservedNode[];
  readonly sentinels: readonly ObservedSentinel[];
  /** The distinct views that the nodes have of the cluster, most shared first. One, when all agree. */
  readonly views: readonly ClusterView[];
  readonly unfinished?: Unfinished;
}

/** What a restore in place that was terminated has left on nodes: they hold other data, or cannot be started. */
export interface Unfinished {
  readonly replacement: string;
  readonly leaders: readonly string[];
  /** All of them had the other data, and had formed the cluster. */
  readonly committed?: true;
}

export interface ObservedHost {
  readonly name: string;
  readonly memoryBytes: number;
  readonly cpus: number;
  /** Memory limits of all containers that Holdfast runs on this host, of any cluster. */
  readonly promisedBytes: number;
}

export interface ObservedNetwork {
  readonly name: string;
  readonly subnet: string;
  readonly clusterId: string;
}

export interface ObservedContainer {
  readonly name: string;
  readonly kind: 'data' | 'sentinel';
  readonly shard: number;
  readonly clusterId: string;
  readonly generation: number;
  readonly specHash: string;
  readonly state: 'created' | 'running' | 'restarting' | 'exited' | 'other';
  readonly image: string;
  readonly address: string;
  readonly memoryBytes: number;
  readonly nanoCpus: number;
  readonly restarts: number;
}

export interface ObservedVolume {
  readonly name: string;
  readonly node: string;
  readonly clusterId: string;
}

/** What one data node said of itself. */
export type ObservedNode =
  | { readonly name: string; readonly address: string; readonly answers: false; readonly error: string }
  | {
      readonly name: string;
      readonly address: string;
      readonly answers: true;
      readonly nodeId: string;
      readonly engine: string;
      readonly version: string;
      readonly role: 'primary' | 'replica';
      readonly loading: boolean;
      readonly clusterState: 'ok' | 'fail' | 'none';
      /** Digest of its view of the cluster; the key into `views`. Empty in sentinel mode. */
      readonly viewDigest: string;
      /** Slots that it has open, as `[5461->-<id>]`. */
      readonly openSlots: readonly string[];
      /** Peers that it suspects or has given up, as node ids. */
      readonly failing: readonly string[];
      /** Peers that it has no link to. */
      readonly unlinked: readonly string[];
      readonly replication: {
        readonly offset: number;
        /** Of a replica: the primary's address, and whether the link is up. */
        readonly primaryAddress?: string;
        readonly linkUp?: boolean;
        /** Of a replica: it copies the whole data set of its primary. */
        readonly syncing?: boolean;
        /** Of a primary: its real replicas (an archiver, which announces port 0, is left out). */
        readonly replicas: number;
      };
      readonly memoryUsedBytes: number;
      readonly memoryMaxBytes: number;
      readonly keys: number;
      readonly uptimeSeconds: number;
      readonly persistenceOk: boolean;
      /** Values of the server parameters that were asked for. */
      readonly parameters: Readonly<Record<string, string>>;
      /** ACL users with a digest of their rules, without passwords. */
      readonly users: Readonly<Record<string, string>>;
    };

/** A view of the cluster, as `CLUSTER NODES` tells it. */
export interface ClusterView {
  readonly digest: string;
  readonly seenBy: readonly string[];
  readonly members: readonly ClusterMember[];
}

export interface ClusterMember {
  readonly nodeId: string;
  readonly address: string;
  readonly role: 'primary' | 'replica';
  /** Node id of its primary; empty for a primary. */
  readonly primaryId: string;
  readonly epoch: number;
  /** Slot ranges, `[from, to]`, both included. */
  readonly slots: readonly (readonly [number, number])[];
  /** Flags worth a look: handshake, noaddr, fail?, fail. */
  readonly flags: readonly string[];
}

export type ObservedSentinel =
  | { readonly name: string; readonly address: string; readonly answers: false; readonly error: string }
  | {
      readonly name: string;
      readonly address: string;
      readonly answers: true;
      /** Address of the primary that it watches. */
      readonly primaryAddress: string;
      /** Other sentinels that it knows. */
      readonly others: number;
      /** Replicas that it knows; what only followed the stream once, and announced port 0, is left out. */
      readonly replicas: number;
      /** The answer to `SENTINEL CKQUORUM`. */
      readonly quorum: 'ok' | string;
      readonly uptimeSeconds: number;
    };

/** Narrowing for filters: nodes that answered. */
export const answered = <T extends { readonly answers: boolean }>(node: T): node is Extract<T, { answers: true }> => node.answers;

/**
 * Whether every node is there and answers, and they do not agree with one another: a link was down for a moment, or a word has not gone round. What is seen
 * a moment later tells whether it stays so.
 */
export function isSettling({ containers, nodes, views }: Observation): boolean {
  const there = nodes.filter(answered);
  const missing = containers.filter(({ kind }) => kind === 'data').length > there.length;
  if (missing || there.some(({ loading }) => loading)) return false;
  return (
    views.length > 1 ||
    there.some(({ clusterState, failing, unlinked, replication }) => {
      const lost = replication.linkUp === false && replication.syncing !== true;
      return clusterState === 'fail' || failing.length > 0 || unlinked.length > 0 || lost;
    })
  );
}
