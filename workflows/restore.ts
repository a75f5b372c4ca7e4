import type { ClusterSpec } from '../config/cluster-spec.ts';
import { failures } from '../config/failures.ts';
import type { RestoreInput } from '../config/operations.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { idOf, planRestore } from '../model/plan-restore.ts';
import { restoredSpec } from '../model/recovery/restored-spec.ts';
import { type ClusterSource, rangesOf } from '../model/recovery/shard-recovery.ts';
import { copyIn, loadIn } from './support/bringing-back.ts';
import { prepareGround } from './support/building.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control } from './support/proxies.ts';
import { findToRead } from './support/reading.ts';

/**
 * Makes a new cluster with the data that another one had. With as many shards, its primaries find the data in their volumes when they first start; else it is copied in by servers that load it. When
 * it fails, all of it is removed again. The source is only read, and may be gone.
 */
export async function restore(raw: unknown): Promise<OperationResult> {
  return operation(
    'restore',
    raw,
    (input) => input.into,
    async (op, input) => {
      const startedAt = Date.now();
      const source = await findToRead(op, { cluster: input.cluster, which: whichData(input) });
      const spec = specOf(input, source);
      await control.requireHostWorker(hostOf(spec));
      const { plan, seen } = await op.propose(
        async () => ({ observed: await op.observe(spec), scheduled: await control.readSchedule(spec.name) }),
        ({ observed, scheduled }) => planRestore(spec, op.known, source, input.include, observed, scheduled),
      );
      const asItWas = plan.primaries.length > 0;
      const slots = asItWas ? source.shards.map((shard) => rangesOf(shard.slots)) : undefined;
      const ground = await prepareGround(op, spec, plan, seen, slots);
      const mark = { cluster: spec.name, source: source.cluster, what: source.what, id: idOf(source, input.include) };
      await control.beginRestore({ ...mark, startedAt: new Date(startedAt).toISOString() });
      const parts = { op, spec, plan, ground, source, shardsAtOnce: input.shardsAtOnce };
      const { shards, keys, expired, loadedAt } = await (asItWas ? loadIn(parts) : copyIn(parts, input.include));
      await ground.accept();
      const without = expired > 0 ? `, ${expired} of them with their time over` : '';
      return {
        summary: `${spec.name} is healthy and has the data of ${source.cluster}, ${source.what}: ${keys} keys${without}`,
        generation: plan.generation,
        restored: { source: source.cluster, shards, keys, expired, loadedMs: loadedAt - startedAt },
      };
    },
  );
}

const whichData = ({ backup, at }: RestoreInput) =>
  backup !== undefined ? { backup } : at !== undefined ? { atMs: Date.parse(at) } : ('latest' as const);

function specOf({ into, changes }: RestoreInput, source: ClusterSource): ClusterSpec {
  const parsed = restoredSpec(source.spec, into, changes);
  if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
  return parsed.value;
}
