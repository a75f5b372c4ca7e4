import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { handsOver, noSlots, planRepair, repairStep } from '../model/plan-repair.ts';
import { count } from '../model/words.ts';
import { fail } from './support/failure.ts';
import { requireKept } from './support/kept.ts';
import { operation } from './support/operation.ts';
import { control, looksAt, onData } from './support/proxies.ts';

/** Closes slots that anyone left open, and stops with findings where only a person can decide. */
export async function repair(raw: unknown): Promise<OperationResult> {
  return operation(
    'repair',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const ref = requireKept(input.cluster, op.known);
      const { spec, clusterId } = ref;
      if (spec.mode === 'sentinel') throw fail(failures.refused, noSlots(spec));
      const hostName = hostOf(spec);
      await control.requireHostWorker(hostName);
      await op.propose(
        async () => {
          const closings = await looksAt(hostName).findOpenSlots(ref);
          return { closings, survey: closings.some(handsOver) ? await looksAt(hostName).surveySlots({ ...ref, bytes: false }) : undefined };
        },
        ({ closings, survey }) => planRepair(spec, clusterId, closings, survey),
      );
      const { finished, settled } = await op.step(
        repairStep,
        () => onData(hostName).repairSlots(ref, input.limits),
        (closed) => `${closed.finished.length} handed over, ${closed.settled.length} settled`,
      );
      await op.verify(spec);
      return { summary: `${spec.name} has no open slot any more: ${count(finished.length + settled.length, 'slot')} closed` };
    },
  );
}
