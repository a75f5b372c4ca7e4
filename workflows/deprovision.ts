import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { planDeprovision, deprovisionSteps as steps } from '../model/plan-deprovision.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control, looksAt, onHost } from './support/proxies.ts';

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
      const before = await looksAt(hostName).observe({ cluster, parameters: [] });
      const found = planDeprovision(input, op.known, before);
      if (!found.exists) throw fail(failures.clusterNotFound, `there is no cluster named ${cluster}: holdfast list shows those that are`);
      const plan = await op.propose(found);

      await op.together(
        plan.containers.map(
          (name) => () =>
            op.step(steps.container(name), () =>
              onHost(hostName, name).removeNode(cluster, name, { orderly: keepVolumes, withVolume: false }),
            ),
        ),
      );
      if (plan.removesNetwork) await op.step(steps.network, () => host.removeNetwork(cluster));
      if (plan.volumes.length > 0)
        await op.step(
          steps.volumes,
          () => Promise.all(plan.volumes.map((volume) => onHost(hostName, volume).removeVolume(cluster, volume))),
          (gone) => `${gone.length} removed`,
        );

      const after = await looksAt(hostName).observe({ cluster, parameters: [] });
      const left = [...after.containers, ...(keepVolumes ? [] : after.volumes)].map((thing) => thing.name);
      if (left.length > 0)
        throw fail(failures.verificationFailed, `still there: ${left.join(', ')}; run it again, and look at docker inspect of what stays`);
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
