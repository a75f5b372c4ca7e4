import type { BackupReport } from './backup.ts';
import type { MoveProgress, MoveReport, PlannedMove } from './migration.ts';
import type { OperationName } from './operations.ts';
import type { PlannedRecovery, RestoreReport } from './restore.ts';
import type { RotationRow } from './rotation.ts';

/** One step of a plan: what a person is shown before and what runs afterwards. */
export interface PlanStep {
  /** Unique in the plan; the same words appear in the progress and in the Temporal UI. */
  readonly name: string;
  /** What it will change, in a sentence. */
  readonly change: string;
  /** What it costs: time, a restart, a stall. Left out when it is nothing to speak of. */
  readonly cost?: string;
  /** How it is undone when a later step fails; left out when there is nothing to undo, or it cannot be. */
  readonly undo?: string;
}

/** What an operation is going to do. A plan with refusals is not acted on. */
export interface Plan {
  readonly summary: string;
  readonly steps: readonly PlanStep[];
  /** Why it cannot be done, each with what to do next. */
  readonly refusals: readonly string[];
  /** Of the steps and refusals; equal digests mean equal plans. Made when the plan is proposed. */
  readonly digest?: string;
  /** Slots that change their shard, a row for each pair; the steps say the same in words. */
  readonly moves?: readonly PlannedMove[];
  /** What each shard of a restored cluster is made of. */
  readonly recovery?: readonly PlannedRecovery[];
  /** What a cluster that is there loses, for a person, who is to type its name. */
  readonly replaces?: string;
  /** Of a rotation: every backup, newest first, and why it stays or goes. */
  readonly backups?: readonly RotationRow[];
}

export type StepState = 'waiting' | 'running' | 'done' | 'failed' | 'undone' | 'undo failed';

export interface StepProgress {
  readonly name: string;
  readonly state: StepState;
  /** ISO 8601. */
  readonly startedAt?: string;
  readonly tookMs?: number;
  /** What the step found or did; why it failed. */
  readonly note?: string;
  /** Set while something long runs: how far it got, in the unit named. */
  readonly done?: number;
  readonly total?: number;
  readonly unit?: string;
  /** Of a step that moves slots. */
  readonly move?: MoveProgress;
}

export type Stage = 'validate' | 'lock' | 'observe' | 'plan' | 'approval' | 'act' | 'verify' | 'undo' | 'ended';

/** The answer to the query `progress` of every operation. */
export interface Progress {
  readonly operation: OperationName;
  readonly cluster: string;
  readonly stage: Stage;
  /** A person asked for a pause; the operation stands at the next step boundary. */
  readonly paused: boolean;
  readonly plan?: Plan;
  readonly steps: readonly StepProgress[];
  readonly approval?: { readonly until: string };
  /** Who approved the plan, and why. */
  readonly approvedBy?: string;
  /** Warnings that a person must see, such as an undo that failed. */
  readonly warnings: readonly string[];
}

/** Who decided on an approval, and why. Argument of the `approve` and `reject` updates and signals. */
export interface Decision {
  readonly by: string;
  readonly reason?: string;
}

/** Names of the query, updates and signals that every operation has. Updates and signals share their names. */
export const operationHandlers = {
  progress: 'progress',
  approve: 'approve',
  reject: 'reject',
  pause: 'pause',
  resume: 'resume',
  /** Changes limits of a move of slots while it runs. Argument: a MoveLimitsChange. */
  limits: 'limits',
  /** Signal only: how far a running activity is. Argument: a MoveProgress. */
  moved: 'moved',
} as const;

/** The result of every operation. */
export interface OperationResult {
  readonly operation: OperationName;
  readonly cluster: string;
  /** `planned`: it was a dry run. `unchanged`: there was nothing to do. */
  readonly outcome: 'done' | 'unchanged' | 'planned';
  /** A sentence for a person. */
  readonly summary: string;
  readonly plan: Plan;
  /** Generation of the spec that now holds; missing when no keeper holds one. */
  readonly generation?: number;
  readonly tookMs: number;
  /** Steps that ran, with their times. */
  readonly steps: readonly StepProgress[];
  /** Of an operation that moved slots. */
  readonly moved?: MoveReport;
  /** Of an operation that made a backup. */
  readonly backup?: BackupReport;
  /** Of an operation that brought data back. */
  readonly restored?: RestoreReport;
}

/** A line of a cluster's journal. */
export interface JournalEntry {
  /** Workflow id and run id of the operation. */
  readonly workflowId: string;
  readonly runId: string;
  readonly operation: OperationName;
  /** Identity of whoever started it, as Temporal recorded it. */
  readonly by: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly outcome: 'done' | 'unchanged' | 'failed' | 'cancelled' | 'rejected';
  readonly summary: string;
  readonly reason?: string;
  readonly approvedBy?: string;
  readonly generation?: number;
}
