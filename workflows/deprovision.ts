import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOfKnown } from '../model/known-cluster.ts';
import { planDeprovision, deprovisionSteps as steps } from '../model/plan-deprovision.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control, looksAt, onHost } from './support/proxies.ts';
import { settleAll } from './support/undo.ts';

/** Removes a cluster: containers, then the network, then the volumes, then the secrets that open them. There is no way back, so nothing is undone. */
export async function deprovision(raw: unknown): Promise<OperationResult> {
  return operation(
    'deprovision',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { cluster, keepVolumes } = input;
      const hostName = hostOfKnown(op.known);
      const host = onHost(hostName);
      await control.requireHostWorker(hostName);
      const look = () => looksAt(hostName).observe({ cluster, parameters: [] });
      const survey = async () => ({
        observed: await look(),
        scheduled: (await control.readSchedule(cluster)) !== null,
        backups: await control.countBackups(cluster),
      });
      const { plan } = await op.propose(survey, ({ observed, ...stored }) => {
        const found = planDeprovision(input, op.known, observed, stored);
        if (!found.exists) throw fail(failures.clusterNotFound, `there is no cluster named ${cluster}: holdfast list shows those that are`);
        return found;
      });
      // A forced one takes whatever bears the name; else only what is this installation's.
      const mine = input.force || op.known.clusterId === undefined ? {} : { clusterId: op.known.clusterId };

      await control.stopArchive(cluster);
      if (plan.steps.some((step) => step.name === steps.schedule)) await op.step(steps.schedule, () => control.removeSchedule(cluster));
      for (const names of plan.waves) {
        const removal = { ...mine, orderly: keepVolumes, withVolume: false };
        await op.together(
          names.map((name) => () => op.step(steps.container(name), () => onHost(hostName, name).removeNode(cluster, name, removal))),
        );
      }
      if (plan.removesNetwork) await op.step(steps.network, () => host.removeNetwork(cluster, mine.clusterId));
      if (plan.volumes.length > 0)
        await op.step(
          steps.volumes,
          () => settleAll(plan.volumes.map((volume) => onHost(hostName, volume).removeVolume(cluster, volume, mine.clusterId))),
          () => `${plan.volumes.length} removed`,
        );

      const after = await look();
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
