import { z } from 'zod';
import type { ArchiveStatus } from './archive.ts';
import { type ClusterSpec, clusterName } from './cluster-spec.ts';
import type { JournalEntry } from './progress.ts';
import type { DrillReport } from './restore.ts';
import type { ScheduleStatus } from './schedules.ts';

/** Input of the workflow `status`. */
export const statusInput = z.strictObject({ cluster: clusterName });

/** Input of the workflow `list`. */
export const listInput = z.strictObject({});

export type Verdict = 'healthy' | 'degraded' | 'down' | 'absent';

/** Something that is not as it should be. */
export interface Finding {
  readonly severity: 'critical' | 'warning' | 'info';
  /** Stable, for scripts: `node-down`, `slots-unassigned`. */
  readonly code: string;
  /** The node, shard or cluster that it is about. */
  readonly subject: string;
  readonly message: string;
  /** The next command, or what to look at. */
  readonly next: string;
}

export interface NodeStatus {
  readonly name: string;
  readonly kind: 'data' | 'sentinel';
  readonly host: string;
  readonly address: string;
  /** As the node itself says; `unknown` when it does not answer. */
  readonly role: 'primary' | 'replica' | 'sentinel' | 'unknown';
  readonly state: 'running' | 'stopped' | 'restarting' | 'missing' | 'silent';
  readonly version?: string;
  /** Bytes that a replica is behind its primary. */
  readonly lagBytes?: number;
  readonly memoryUsedBytes?: number;
  readonly memoryMaxBytes?: number;
  readonly uptimeSeconds?: number;
}

export interface ShardStatus {
  readonly shard: number;
  /** Slots of its primary, as ranges `0-5460`; empty in sentinel mode. */
  readonly slots: readonly string[];
  readonly slotCount: number;
  readonly keys?: number;
  readonly nodes: readonly NodeStatus[];
}

/** What is stored of a cluster, and what its schedule does. */
export interface BackupStatus {
  /** Null when there is none; missing when nobody answered. */
  readonly schedule?: ScheduleStatus | null;
  /** How many there are; missing when nobody answered. */
  readonly backups?: number;
  readonly newest?: { readonly id: string; readonly startedAt: string };
  readonly newestVerified?: { readonly id: string; readonly startedAt: string };
  /** What could not be asked, and why. */
  readonly unknown: readonly string[];
}

/** Result of the workflow `status`: what is true now, asked of every node. */
export interface StatusReport {
  readonly cluster: string;
  readonly verdict: Verdict;
  readonly headline: string;
  readonly observedAt: string;
  readonly findings: readonly Finding[];
  readonly shards: readonly ShardStatus[];
  readonly sentinels: readonly NodeStatus[];
  readonly network?: { readonly name: string; readonly subnet: string };
  readonly spec?: ClusterSpec;
  readonly generation?: number;
  /** Missing when nobody answered in time. */
  readonly backups?: BackupStatus;
  /** The operation that holds the cluster's lock now. */
  readonly running?: { readonly workflowId: string; readonly runId: string; readonly operation: string };
  /** The last time that its data was brought back to see whether it can be; missing when nobody has. */
  readonly drill?: DrillReport;
  /** Missing when the spec asks for none, and when nobody answered in time. */
  readonly archive?: ArchiveStatus;
  /** Newest last. */
  readonly journal: readonly JournalEntry[];
}

export interface ClusterSummary {
  readonly cluster: string;
  readonly engine?: string;
  readonly version?: string;
  readonly mode?: string;
  readonly shards?: number;
  readonly replicasPerShard?: number;
  readonly generation?: number;
  /** Containers that run, of all that exist. */
  readonly running: number;
  readonly containers: number;
  /** `kept`: it is on record and has containers. `orphaned`: only one of the two. `unreachable`: no worker of its host answers. */
  readonly state: 'kept' | 'orphaned' | 'unreachable';
}

/** Answer to the query `describe` of a cluster's keeper. */
export interface KeeperDescription {
  readonly cluster: string;
  readonly spec: ClusterSpec;
  readonly generation: number;
  readonly acceptedAt: string;
}

/** Names of the keeper's queries and signals. */
export const keeperHandlers = { describe: 'describe', journal: 'journal', accept: 'accept', record: 'record', close: 'close' } as const;
