import type { OperationResult } from '../config/progress.ts';
import { planDeprovision, deprovisionSteps as steps } from '../model/plan-deprovision.ts';
import { operation } from './support/operation.ts';
import { control, onHost } from './support/proxies.ts';

/** Removes a cluster: containers, then the network, then the volumes, then the secrets that open them. There is no way back, so nothing is undone. */
export async function deprovision(raw: unknown): Promise<OperationResult> {
  return operation(
    'deprovision',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { cluster, keepVolumes } = input;
      const [hostName = 'local'] = op.known.spec?.placement.hosts ?? [];
      const host = onHost(hostName);
      await control.requireHostWorker(hostName);
      const before = await host.observe({ cluster, parameters: [] });
      const plan = await op.propose(planDeprovision(input, op.known, before));

      await op.together(plan.containers.map((name) => () => op.step(steps.container(name), () => host.removeNode(cluster, name, false))));
      if (plan.removesNetwork) await op.step(steps.network, () => host.removeNetwork(cluster));
      if (plan.volumes.length > 0)
        await op.step(
          steps.volumes,
          () => Promise.all(plan.volumes.map((volume) => host.removeVolume(cluster, volume))),
          (gone) => `${gone.length} removed`,
        );

      const after = await host.observe({ cluster, parameters: [] });
      const left = [...after.containers, ...(keepVolumes ? [] : after.volumes)].map((thing) => thing.name);
      if (left.length > 0) throw new Error(`still there: ${left.join(', ')}`);
      if (plan.removesRecords) {
        await op.step(steps.records, async () => {
          await control.removeRecord(cluster);
          await control.removeSecrets(cluster);
        });
      }
      if (plan.closesKeeper) await op.step(steps.keeper, () => control.closeKeeper(cluster));
      return { summary: plan.summary.replace(/^remove/, 'removed') };
    },
  );
}
