import type { BackupManifest, Verification } from '../../config/backup.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import type { RotationRow } from '../../config/rotation.ts';

export interface RetentionRules {
  readonly retention: ClusterSpec['backup']['retention'];
  /** What the spec asks of a scheduled backup. With `checksum` those count too that no server has loaded. */
  readonly asked: ClusterSpec['backup']['verify'];
  /** So long stays what is not verified although a newer one is, in ms. */
  readonly graceMs: number;
  readonly nowMs: number;
  /** Backups that the recovery window begins at or goes through, with the reason. */
  readonly needed: ReadonlyMap<string, string>;
}

/** What a backup is proved to be. One that was found damaged later is not what it was proved to be. */
export const proofOf = ({ verified, damaged }: BackupManifest): Verification['how'] | undefined =>
  damaged === undefined ? verified?.how : undefined;

const takenAt = ({ startedAt }: Pick<BackupManifest, 'startedAt'>): number => Date.parse(startedAt);
const newestFirst = (backups: readonly BackupManifest[]): readonly BackupManifest[] =>
  backups.toSorted((a, b) => takenAt(b) - takenAt(a) || (a.id < b.id ? 1 : -1));

/**
 * Which backups stay, newest first, by every rule that speaks for each. What no rule speaks for goes. Only verified backups take a place of the rules for days, weeks and months, so nothing that was not
 * loaded ever pushes out what was; and the places are of the last days, weeks and months that have one, so that neither a clock that is wrong nor weeks without a backup empty them. An
 * earlier cluster of the same name counts by itself: what was stored of it is not pushed out by what came after.
 */
export function retain(backups: readonly BackupManifest[], rules: RetentionRules): readonly RotationRow[] {
  const why = new Map<string, string[]>(backups.map(({ id }) => [id, []]));
  const keep = ({ id }: Pick<BackupManifest, 'id'>, reason: string) => void why.get(id)?.push(reason);
  const going = new Map<string, string>();
  for (const lineage of Map.groupBy(newestFirst(backups), ({ clusterId }) => clusterId).values()) {
    const loaded = lineage.filter((backup) => proofOf(backup) === 'loaded');
    keepByCalendar(loaded, 'verified', rules, keep);
    const read = lineage.filter((backup) => proofOf(backup) !== undefined);
    if (rules.asked === 'checksum' && read.length > loaded.length) keepByCalendar(read, 'that was read again', rules, keep);

    const [newest] = rules.asked === 'checksum' ? read : loaded;
    for (const backup of lineage) {
      const { id, finishedAt } = backup;
      const proof = proofOf(backup);
      if (proof === 'loaded' || (rules.asked === 'checksum' && proof !== undefined)) {
        going.set(id, 'no rule keeps it');
        continue;
      }
      going.set(id, backup.damaged === undefined ? 'not verified, and a newer one is' : 'damaged, and a newer one is verified');
      if (newest === undefined) keep(backup, 'not verified, but no other one is either');
      else if (takenAt(backup) > takenAt(newest)) keep(backup, 'not verified, but newer than every one that is');
      else if (Date.parse(finishedAt) + rules.graceMs > rules.nowMs) keep(backup, 'not verified; stays for the grace time');
    }
  }
  for (const backup of backups) {
    const { hold, keepUntil, id } = backup;
    if (hold !== undefined) keep(backup, `held by ${hold.by}: ${hold.reason}`);
    if (keepUntil !== undefined && Date.parse(keepUntil) > rules.nowMs) keep(backup, `to be kept until ${keepUntil.slice(0, 16)}Z`);
    const needed = rules.needed.get(id);
    if (needed !== undefined) keep(backup, needed);
  }
  return newestFirst(backups).map((backup) => {
    const { id } = backup;
    const reasons = why.get(id) ?? [];
    const how = proofOf(backup);
    const proof = how === undefined ? {} : { proof: how };
    return reasons.length > 0 ? { id, ...proof, stays: true, why: reasons } : { id, ...proof, stays: false, why: [going.get(id) ?? ''] };
  });
}

/** @param backups newest first */
function keepByCalendar(
  backups: readonly BackupManifest[],
  what: string,
  { retention: { daily, weekly, monthly, minimum } }: RetentionRules,
  keep: (backup: BackupManifest, reason: string) => void,
): void {
  const [newest] = backups;
  if (newest !== undefined) keep(newest, `the newest ${what}`);
  for (const backup of backups.slice(1, minimum)) keep(backup, `one of the ${minimum} newest ${what}`);
  const calendar = [
    { places: daily, nameOf: (at: Date) => at.toISOString().slice(0, 10) },
    { places: weekly, nameOf: isoWeek },
    { places: monthly, nameOf: (at: Date) => at.toISOString().slice(0, 7) },
  ];
  for (const { places, nameOf } of calendar) {
    const taken = new Set<string>();
    for (const backup of backups) {
      const name = nameOf(new Date(takenAt(backup)));
      if (taken.has(name)) continue;
      if (taken.size >= places) break;
      taken.add(name);
      keep(backup, `the newest ${what} of ${name}`);
    }
  }
}

/** `2026-W47`: the week of a moment in UTC, as ISO 8601 counts them; it belongs to the year that has its Thursday. */
export function isoWeek(at: Date): string {
  const day = at.getUTCDay() || 7;
  const thursday = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), at.getUTCDate() + 4 - day));
  const newYear = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = Math.floor((thursday.getTime() - newYear) / (7 * 86_400_000)) + 1;
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}
