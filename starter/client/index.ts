export type { RecoveryGap, RecoverySpan, RecoveryWindow, ShardRecoveryWindow } from '../../config/archive.ts';
export type { BackupDamage, BackupManifest, BackupReport, BackupSummary, ShardBackup, Verification } from '../../config/backup.ts';
export type { ClusterSpec, ClusterSpecInput } from '../../config/cluster-spec.ts';
export { type FailureType, failures } from '../../config/failures.ts';
export type { ClusterKeys, KeyReport, MasterKeyIds, SealedKey } from '../../config/keys.ts';
export type {
  ExplicitMove,
  LatencySummary,
  LedgerSummary,
  MoveLimits,
  MoveLimitsChange,
  MoveProgress,
  MoveReport,
  MoveStrategy,
  PairProgress,
  PlannedMove,
} from '../../config/migration.ts';
export type { OperationInput, OperationName } from '../../config/operations.ts';
export type { Decision, JournalEntry, OperationResult, Plan, PlanStep, Progress, Stage, StepProgress } from '../../config/progress.ts';
export type { DrillReport, PlannedRecovery, RestoreReport } from '../../config/restore.ts';
export type {
  ClusterSummary,
  Finding,
  KeeperDescription,
  NodeStatus,
  ShardStatus,
  StatusReport,
  Verdict,
} from '../../config/status.ts';
export {
  ClusterNotKept,
  type FailureKind,
  InvalidInput,
  NoWorker,
  OperationFailed,
  OperationNotFound,
  RequestRefused,
  TemporalUnreachable,
} from './errors.ts';
export { type Backups, Holdfast, type Operations } from './holdfast.ts';
export type { OperationHandle, WatchOptions } from './operation-handle.ts';
export type { ListFilter, OperationState, OperationSummary } from './operation-list.ts';
export type { ExecuteOptions, Operation, StartOptions } from './operation-starter.ts';
export type { RecoverySummary } from './recovery-summaries.ts';
export type { ConnectOptions } from './temporal.ts';
