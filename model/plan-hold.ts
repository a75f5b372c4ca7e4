import type { BackupManifest } from '../config/backup.ts';
import type { HoldInput } from '../config/operations.ts';
import type { Plan } from '../config/progress.ts';

export const holdSteps = { hold: 'hold the backup', release: 'release the backup' } as const;

/** One word in a manifest; none, when it is there already. */
export function planHold({ backup, held, reason }: HoldInput, { hold }: Pick<BackupManifest, 'hold'>): Plan {
  if (held)
    return hold !== undefined
      ? { summary: `${backup} is already held by ${hold.by}: ${hold.reason}`, steps: [], refusals: [] }
      : {
          summary: `${backup} is held`,
          steps: [{ name: holdSteps.hold, change: `no rotation removes ${backup} until it is released: ${reason}` }],
          refusals: [],
        };
  return hold === undefined
    ? { summary: `${backup} is not held`, steps: [], refusals: [] }
    : {
        summary: `${backup} is released`,
        steps: [
          {
            name: holdSteps.release,
            change: `the retention decides again about ${backup}, held by ${hold.by} since ${hold.since}: ${hold.reason}`,
          },
        ],
        refusals: [],
      };
}
