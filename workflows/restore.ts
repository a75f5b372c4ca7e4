import { failures } from '../config/failures.ts';
import type { RestoreInput } from '../config/operations.ts';
import type { OperationResult } from '../config/progress.ts';
import type { RestoreReport } from '../config/restore.ts';
import { hostOf } from '../model/known-cluster.ts';
import { slotsThatMoved } from '../model/plan-backup.ts';
import { planRestore, restoreSteps as steps } from '../model/plan-restore.ts';
import { restoredSpec } from '../model/recovery/restored-spec.ts';
import { plannedRecovery, rangesOf } from '../model/recovery/shard-recovery.ts';
import { prepareGround } from './support/building.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control, onHost, restores } from './support/proxies.ts';

/**
 * Makes a new cluster with the data that another one had. Its primaries find the data in their volumes when they first start; replicas come when it is loaded and counted.
 * When it fails, all of it is removed again. The source is only read, and may be gone.
 */
export async function restore(raw: unknown): Promise<OperationResult> {
  return operation(
    'restore',
    raw,
    (input) => input.into,
    async (op, input) => {
      const startedAt = Date.now();
      const source = await control.findSource({ cluster: input.cluster, which: whichData(input) });
      const parsed = restoredSpec(source.spec, input.into, input.changes);
      if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
      const spec = parsed.value;
      const hostName = hostOf(spec);
      await control.requireHostWorker(hostName);
      const { plan, seen } = await op.propose(
        () => op.observe(spec),
        (before) => planRestore(spec, op.known, source, before),
      );
      const slots = source.shards.map((shard) => rangesOf(shard.slots));
      const ground = await prepareGround(op, spec, plan, seen, slots);
      const { primaries } = plan;
      const laidOut = new Map<string, { readonly id: string; readonly bytes: number; readonly reachedMs?: number }>();
      await op.together(
        primaries.map(
          ({ place, source: shard }) =>
            () =>
              op.step(
                steps.layOut(place.shard),
                async () => {
                  const request = { node: ground.requestFor(place), source: shard };
                  const found = await restores(hostName, `shard ${place.shard}`).fillShard(request);
                  laidOut.set(place.name, found);
                  return found;
                },
                ({ did, bytes }) => `${did}: ${bytes} bytes`,
              ),
        ),
        input.shardsAtOnce,
      );
      const first = primaries.map(({ place }) => place);
      await ground.start(first, new Map([...laidOut].map(([name, { id }]) => [name, id])));
      const loaded = await op.step(
        steps.load,
        () =>
          Promise.all(
            primaries.map(({ place, source: shard }) =>
              restores(hostName, place.name).awaitLoaded({
                spec,
                place,
                subnet: ground.subnet,
                source: shard,
                bytes: laidOut.get(place.name)?.bytes ?? 0,
              }),
            ),
          ),
        (all) => `${all.reduce((sum, { keys }) => sum + keys, 0)} keys`,
      );
      const loadedMs = Date.now() - startedAt;
      if (!spec.persistence.aof) await op.step(steps.settle, () => onHost(hostName).applyParameters(spec, { appendonly: 'no' }));
      const others = plan.nodes.filter(({ name }) => !first.some((place) => place.name === name));
      for (const kind of ['data', 'sentinel'] as const) await ground.start(others.filter((node) => node.kind === kind));
      await ground.accept(async () => {
        if (spec.mode === 'sentinel') return;
        const moved = slotsThatMoved(spec, { ...op.known, clusterId: ground.clusterId }, source.shards, await op.observe(spec));
        if (moved.length > 0)
          throw fail(failures.verificationFailed, `shard ${moved.join(', ')} has other slots than it had: who moves them?`);
      });
      const reached = (shard: number) => {
        const ms = laidOut.get(first.find((place) => place.shard === shard)?.name ?? '')?.reachedMs;
        return ms === undefined ? {} : { at: new Date(ms).toISOString() };
      };
      const sum = (of: 'keys' | 'expired') => loaded.reduce((total, shard) => total + shard[of], 0);
      const report: RestoreReport = {
        source: source.cluster,
        shards: source.shards.map((shard) => ({ ...plannedRecovery(shard), ...reached(shard.shard) })),
        keys: sum('keys'),
        expired: sum('expired'),
        loadedMs,
      };
      return {
        summary: `${spec.name} is healthy and has the data of ${source.cluster}, ${source.what}: ${report.keys} keys${report.expired > 0 ? `, ${report.expired} of them with their time over` : ''}`,
        generation: plan.generation,
        restored: report,
      };
    },
  );
}

const whichData = ({ backup, at }: RestoreInput) =>
  backup !== undefined ? { backup } : at !== undefined ? { atMs: Date.parse(at) } : ('latest' as const);
