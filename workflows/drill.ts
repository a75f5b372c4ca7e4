import { failures } from '../config/failures.ts';
import { drillName } from '../config/names.ts';
import type { OperationResult } from '../config/progress.ts';
import type { DrillReport } from '../config/restore.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planDrill, specOfDrill, drillSteps as steps } from '../model/plan-drill.ts';
import { rangesOf } from '../model/recovery/shard-recovery.ts';
import { loadIn } from './support/bringing-back.ts';
import { prepareGround } from './support/building.ts';
import { fail, isCancellation, reasonOf, typeOf } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control } from './support/proxies.ts';
import { findToRead } from './support/reading.ts';
import { EndsHere } from './support/stages.ts';

/** Brings the data of a cluster back into another one beside it, sees that all of it is there and serves, and removes it again. How long that took, or why it failed, is kept. */
export async function drill(raw: unknown): Promise<OperationResult> {
  return operation(
    'drill',
    raw,
    (input) => drillName(input.cluster),
    async (op, input) => {
      const { cluster, at } = input;
      const startedAt = new Date();
      const report = (found: Pick<DrillReport, 'ok' | 'summary'> & Partial<DrillReport>) =>
        control.recordDrill({ cluster, startedAt: startedAt.toISOString(), ...found });
      try {
        const source = await findToRead(op, { cluster, which: at === undefined ? 'newest' : { atMs: Date.parse(at) } });
        const parsed = specOfDrill(source);
        if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
        const spec = parsed.value;
        await control.requireHostWorker(hostOf(spec));
        const { plan, seen } = await op.propose(
          async () => ({ observed: await op.observe(spec), scheduled: null }),
          ({ observed }) => planDrill(spec, op.known, source, observed),
        );
        const slots = source.shards.map((shard) => rangesOf(shard.slots));
        const ground = await prepareGround(op, spec, plan, seen, slots);
        const { shards, keys, expired, loadedAt } = await loadIn({ op, spec, plan, ground, source, shardsAtOnce: input.shardsAtOnce });
        await op.verify(spec);
        const recoveredMs = loadedAt - startedAt.getTime();
        await op.step(steps.remove, () => ground.remove());
        const reached = shards.map((shard) => shard.at).toSorted()[0] ?? startedAt.toISOString();
        const summary = `the data of ${cluster}, ${source.what}, came back with ${keys} keys and served after ${Math.ceil(recoveredMs / 1000)} s`;
        await op.step(steps.record, () => report({ ok: true, summary, recoveredMs, at: reached, keys }));
        return { summary, restored: { source: cluster, shards, keys, expired, loadedMs: recoveredMs } };
      } catch (error) {
        // A dry run ends here too, and so does one that a person has ended: none of them is a drill.
        const ended = error instanceof EndsHere || isCancellation(error) || typeOf(error) === failures.rejected;
        if (!ended && !input.dryRun) await report({ ok: false, summary: reasonOf(error) });
        throw error;
      }
    },
  );
}
