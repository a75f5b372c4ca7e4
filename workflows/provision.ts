import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planProvision } from '../model/plan-provision.ts';
import { count } from '../model/words.ts';
import { prepareGround } from './support/building.ts';
import { operation } from './support/operation.ts';
import { control } from './support/proxies.ts';

/**
 * Makes the cluster of a spec. On a half-made one it makes what is missing; on a healthy one it changes nothing. When it fails, what it made itself
 * is removed again, unless the cluster was accepted before: what joined a cluster that holds data stays.
 */
export async function provision(raw: unknown): Promise<OperationResult> {
  return operation(
    'provision',
    raw,
    (input) => input.spec.name,
    async (op, { spec }) => {
      await control.requireHostWorker(hostOf(spec));
      const { plan, seen } = await op.propose(
        async () => ({ observed: await op.observe(spec), scheduled: await control.readSchedule(spec.name) }),
        ({ observed, scheduled }) => planProvision(spec, op.known, observed, scheduled),
      );
      const ground = await prepareGround(op, spec, plan, seen);
      // Sentinels learn of replicas when they first ask the primary; those that come later are seen only ten seconds on.
      for (const kind of ['data', 'sentinel'] as const) await ground.start(plan.nodes.filter((node) => node.kind === kind));
      await ground.form();
      await ground.accept();
      return {
        summary: `${spec.name} is healthy: ${count(plan.nodes.length, 'node')} started on ${ground.subnet}`,
        generation: plan.generation,
      };
    },
  );
}
