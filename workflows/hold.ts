import type { OperationResult } from '../config/progress.ts';
import { planHold, holdSteps as steps } from '../model/plan-hold.ts';
import { operation } from './support/operation.ts';
import { control } from './support/proxies.ts';

/** Holds a backup, so that no rotation removes it, or releases it. Also of a cluster that is gone. Under the cluster's lock, as rotations are. */
export async function hold(raw: unknown): Promise<OperationResult> {
  return operation(
    'hold',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { cluster, backup, held, reason = '' } = input;
      const { plan } = await op.propose(
        () => control.readBackup(cluster, backup),
        (manifest) => planHold(input, manifest),
      );
      const since = new Date().toISOString();
      await op.step(held ? steps.hold : steps.release, () =>
        control.setHold(cluster, backup, held ? { by: op.by, reason, since } : undefined),
      );
      return { summary: plan.summary };
    },
  );
}
