import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import type { NodePlace } from '../model/layout.ts';
import { planProvision, provisionSteps as steps } from '../model/plan-provision.ts';
import { membersForNewNode, sentinelPrimary } from '../model/topology.ts';
import { count } from '../model/words.ts';
import { operation } from './support/operation.ts';
import { control, onHost } from './support/proxies.ts';
import { settleAll } from './support/undo.ts';

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
      const hostName = hostOf(spec);
      const host = onHost(hostName);
      await control.requireHostWorker(hostName);
      const { plan, seen } = await op.propose(
        async () => ({ observed: await op.observe(spec), scheduled: await control.readSchedule(spec.name) }),
        ({ observed, scheduled }) => planProvision(spec, op.known, observed, scheduled),
      );
      const before = seen.observed;
      const { generation } = plan;

      if (plan.makesSecrets) op.onFailure('remove certificates and passwords', () => control.removeSecrets(spec.name), 'last');
      const secrets = () => control.ensureSecrets(spec);
      const { clusterId } = plan.makesSecrets
        ? await op.step(steps.secrets, secrets, ({ made }) => `made ${made.length}`)
        : await secrets();

      if (plan.nodes.length > 0)
        await op.step(
          steps.image(plan.engine),
          () => host.ensureImage(plan.engine.image),
          ({ pulled }) => (pulled ? 'pulled' : 'is on the host'),
        );

      if (plan.makesNetwork) op.onFailure('remove network', () => host.removeNetwork(spec.name, clusterId));
      const network = () => host.ensureNetwork(spec, clusterId);
      const { subnet } = plan.makesNetwork ? await op.step(steps.network, network, (made) => made.subnet) : await network();

      const members = (place: NodePlace) =>
        before.views.length === 0 ? {} : { members: membersForNewNode(spec, clusterId, subnet, before, place) };
      const volumes = new Set(before.volumes.map((volume) => volume.node));
      const newSince = (place: NodePlace) => (volumes.has(place.name) ? {} : { newSince: before.observedAt });
      const primaryAddress = sentinelPrimary(spec, subnet, before);
      if (plan.newNodes.length > 0)
        op.onFailure('remove new nodes', () =>
          settleAll(
            plan.newNodes.map(({ name, newVolume }) =>
              onHost(hostName, name).removeNode(spec.name, name, {
                clusterId,
                orderly: false,
                withVolume: newVolume,
                newSince: before.observedAt,
              }),
            ),
          ),
        );
      // Sentinels learn of replicas when they first ask the primary; those that come later are seen only ten seconds on.
      for (const kind of ['data', 'sentinel'] as const) {
        const nodes = plan.nodes.filter((node) => node.kind === kind);
        await op.together(
          nodes.map(
            (place) => () =>
              op.step(
                steps.node(place),
                () =>
                  onHost(hostName, place.name).ensureNode({
                    spec,
                    clusterId,
                    generation,
                    place,
                    subnet,
                    primaryAddress,
                    ...members(place),
                    ...newSince(place),
                  }),
                ({ did }) => did,
              ),
          ),
        );
      }

      if (plan.steps.some((step) => step.name === steps.form))
        await op.step(
          steps.form,
          () => host.awaitFormed(spec),
          ({ headline }) => headline,
        );
      await op.verify(spec);
      if (plan.steps.some((step) => step.name === steps.schedule)) {
        if (seen.scheduled === null) op.onFailure('remove the schedule', () => control.removeSchedule(spec.name));
        await op.step(
          steps.schedule,
          () => control.ensureSchedule(spec),
          ({ did }) => did,
        );
      }
      if (op.known.source === 'none') op.onFailure('take the spec back', () => control.forgetCluster(spec.name));
      if (plan.accepts)
        await op.step(
          steps.accept,
          () => control.acceptSpec(spec, generation),
          () => `generation ${generation}`,
        );
      return { summary: `${spec.name} is healthy: ${count(plan.nodes.length, 'node')} started on ${subnet}`, generation };
    },
  );
}
