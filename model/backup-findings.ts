import type { ClusterSpec } from '../config/cluster-spec.ts';
import { scheduleOf } from '../config/schedules.ts';
import type { BackupStatus, Finding } from '../config/status.ts';

/** A run may take so long until its backup is verified, before that is worth a word. */
const MAY_TAKE_MS = 3_600_000;

/** Whether backups come as the spec promises, for a person. Nothing about what could not be asked: that says so itself. */
export function assessBackups(spec: ClusterSpec, backups: BackupStatus, nowMs: number): readonly Finding[] {
  const { name } = spec;
  const { schedule, newestVerified, unknown } = backups;
  const warn = (code: string, message: string, next: string): Finding => ({ severity: 'warning', code, subject: name, message, next });
  const findings: Finding[] = unknown.map((what) => ({
    severity: 'info',
    code: 'backups-unknown',
    subject: name,
    message: `nobody answered about ${what}`,
    next: 'holdfast doctor',
  }));
  if (!spec.backup.enabled || schedule === undefined) return findings;
  const asApplied = `apply its spec again (holdfast describe ${name} shows it): holdfast apply -f <spec>`;
  if (schedule === null)
    return [...findings, warn('backup-schedule-missing', 'the spec asks for backups on a schedule, and there is no schedule', asApplied)];
  const { madeFrom, lastRun, longestGapMs, createdAt, note } = schedule;
  if (madeFrom.paused)
    findings.push(warn('backup-schedule-paused', `the schedule is paused${note === undefined ? '' : `: ${note}`}`, asApplied));
  else if (JSON.stringify(madeFrom) !== JSON.stringify(scheduleOf(spec)))
    findings.push(
      warn('backup-schedule-differs', `the schedule is not that of the spec: ${madeFrom.schedule || 'made by hand'}`, asApplied),
    );
  if (lastRun?.outcome === 'failed')
    findings.push(
      warn(
        'backup-run-failed',
        `the last scheduled run, ${lastRun.at}, failed: ${lastRun.reason ?? ''}`,
        `holdfast events ${name}, then: holdfast backup create ${name}`,
      ),
    );
  // Also of a verified one a run must have begun, at the latest a whole gap after the one before.
  const since = Date.parse(newestVerified?.startedAt ?? createdAt);
  const promisedMs = longestGapMs === undefined ? undefined : longestGapMs + spec.backup.jitterSeconds * 1000 + MAY_TAKE_MS;
  const counts = spec.backup.verify === 'load' && 'backups' in backups;
  if (counts && promisedMs !== undefined && nowMs - since > promisedMs)
    findings.push(
      warn(
        'backup-old',
        newestVerified === undefined
          ? `no backup is verified, and the schedule is there since ${createdAt}`
          : `the newest verified backup is of ${newestVerified.startedAt}, older than the schedule promises`,
        `holdfast backup list ${name}, then: holdfast backup create ${name}`,
      ),
    );
  return findings;
}
