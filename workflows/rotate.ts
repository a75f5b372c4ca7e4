import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { rotateSteps as steps } from '../model/plan-rotate.ts';
import { count } from '../model/words.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { rotates } from './support/proxies.ts';

/**
 * Removes the backups that no rule keeps, what is archived and out of the recovery window, and what nobody owns. Also of a cluster that is gone. There is no way back, so nothing is
 * undone; cancelled, what is left is whole or has no manifest, and the next rotation goes on.
 */
export async function rotate(raw: unknown): Promise<OperationResult> {
  return operation(
    'rotate',
    raw,
    (input) => input.cluster,
    async (op, { cluster, graceSeconds }) => {
      const { spec } = op.known;
      const { plan } = await op.propose(
        () => rotates.planRotation({ cluster, graceSeconds, ...(spec === undefined ? {} : { spec }) }),
        (found) => {
          if (!found.exists)
            throw fail(
              failures.clusterNotFound,
              `there is no cluster named ${cluster}, and nothing was ever stored of one: holdfast list shows those that are`,
            );
          return found;
        },
      );
      const planned = (name: string) => plan.steps.some((step) => step.name === name);

      if (planned(steps.backups))
        await op.step(
          steps.backups,
          () => rotates.removeBackups(cluster, plan.going),
          ({ removed, kept }) => `${removed} removed${kept.length === 0 ? '' : `; held or read by now: ${kept.join(', ')}`}`,
        );
      if (planned(steps.archive))
        await op.step(
          steps.archive,
          () => rotates.removeArchive(cluster, plan.cuts),
          ({ objects }) => `${count(objects, 'object')} removed`,
        );
      if (planned(steps.orphans))
        await op.step(
          steps.orphans,
          () => rotates.removeOrphans(plan.orphans),
          ({ objects }) => `${count(objects, 'object')} removed`,
        );
      if (planned(steps.check))
        await op.step(steps.check, async () => {
          const staying = plan.backups.filter(({ stays }) => stays).map(({ id }) => id);
          const missing = await rotates.missingBackups(cluster, staying);
          if (missing.length > 0)
            throw fail(
              failures.verificationFailed,
              `not there any more, and not by this rotation: ${missing.join(', ')}; who else removes backups?`,
            );
        });
      return { summary: plan.summary };
    },
  );
}
