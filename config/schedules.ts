import { z } from 'zod';
import { type ClusterSpec, clusterName } from './cluster-spec.ts';

/** Input of the workflow `scheduledBackup`: backs up, verifies and rotates. */
export const scheduledBackupInput = z.strictObject({ cluster: clusterName });

/** What a cluster's schedule is made from. */
export interface BackupSchedule {
  /** Five cron fields. */
  readonly schedule: string;
  readonly timezone: string;
  readonly jitterSeconds: number;
  readonly paused: boolean;
}

/** The schedule that a spec asks for. One that is switched off is there all the same, paused. */
export const scheduleOf = ({ backup }: Pick<ClusterSpec, 'backup'>): BackupSchedule => ({
  schedule: backup.schedule,
  timezone: backup.timezone,
  jitterSeconds: backup.jitterSeconds,
  paused: !backup.enabled,
});

/** How a scheduled run went. */
export interface ScheduledRun {
  readonly workflowId: string;
  readonly at: string;
  readonly outcome: 'running' | 'done' | 'failed';
  /** Why it failed. */
  readonly reason?: string;
}

/** A schedule as Temporal has it. */
export interface ScheduleStatus {
  readonly madeFrom: BackupSchedule;
  /** By whom and why it is paused, when somebody said so. */
  readonly note?: string;
  readonly createdAt: string;
  /** Missing while it is paused. */
  readonly nextAt?: string;
  /** The longest time between two of the next runs, in ms. */
  readonly longestGapMs?: number;
  /** Runs that did not begin within an hour of their time: Temporal was away. */
  readonly missed: number;
  /** Runs that did not begin since the one before had not ended. */
  readonly skipped: number;
  readonly lastRun?: ScheduledRun;
}
