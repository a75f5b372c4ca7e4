import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { limitsOf } from '../model/layout.ts';
import { type MovePlan, movesOfRebalance, planRebalance } from '../model/plan-rebalance.ts';
import { noSlots } from '../model/plan-repair.ts';
import { count } from '../model/words.ts';
import { fail } from './support/failure.ts';
import { requireKept } from './support/kept.ts';
import { moveSlots, scanMoves } from './support/moving.ts';
import { operation } from './support/operation.ts';
import { control, looksAt } from './support/proxies.ts';

/** Moves slots until each primary has its share, by slots, keys or memory. Nothing is undone: slots that moved stay where they are. */
export async function rebalance(raw: unknown): Promise<OperationResult> {
  return operation(
    'rebalance',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { spec, clusterId } = requireKept(input.cluster, op.known);
      if (spec.mode === 'sentinel') throw fail(failures.refused, noSlots(spec));
      const hostName = hostOf(spec);
      await control.requireHostWorker(hostName);
      const looks = looksAt(hostName);
      const { plan, seen } = await op.propose(
        async (shown?: MovePlan) => {
          const [observation, survey] = await Promise.all([
            op.observe(spec),
            looks.surveySlots({ spec, clusterId, bytes: input.by === 'memory' }),
          ]);
          // Keys are written meanwhile, and a plan by keys made twice differs: what was approved is what is moved.
          const moves = shown?.slotMoves ?? movesOfRebalance(spec, op.known, input, { observation, survey });
          return { observation, survey, moves, scan: await scanMoves({ spec, clusterId }, moves, survey, input) };
        },
        (all) => planRebalance(spec, op.known, input, all, all.moves, all.scan),
      );
      const { survey, scan } = seen;
      const moved = await moveSlots(op, plan, {
        spec,
        clusterId,
        survey,
        scan,
        limits: input.limits,
        bigKeys: input.bigKeys,
        containerBytes: limitsOf(spec, 'data').memoryBytes,
      });
      await op.verify(spec);
      return { summary: `${spec.name} is balanced: ${count(moved.slots, 'slot')} with ${moved.keys} keys moved, nothing lost`, moved };
    },
  );
}
