import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { PlanStep } from '../config/progress.ts';
import { type BackupSchedule, scheduleOf } from '../config/schedules.ts';
import { canonicalJson } from './layout.ts';

/** The step that makes the schedule what the spec says; none, when it is. `null`: there is no schedule. */
export function scheduleSteps(name: string, spec: ClusterSpec, scheduled: BackupSchedule | null): readonly PlanStep[] {
  const wanted = scheduleOf(spec);
  if (scheduled !== null && canonicalJson(scheduled) === canonicalJson(wanted)) return [];
  return [{ name, change: scheduleText(wanted), undo: scheduled === null ? 'remove it' : 'set the former one' }];
}

function scheduleText({ schedule, timezone, jitterSeconds, paused }: BackupSchedule): string {
  const later = jitterSeconds === 0 ? '' : `, up to ${jitterSeconds} s later`;
  return `a backup, its verification and a rotation at "${schedule}" (${timezone})${later}${paused ? '; paused, since backup.enabled is false' : ''}`;
}
