import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { hostOf } from '../../model/known-cluster.ts';
import type { NodePlace } from '../../model/layout.ts';
import type { Observation } from '../../model/observation.ts';
import { type ProvisionPlan, type planProvision, provisionSteps as steps } from '../../model/plan-provision.ts';
import { type InitialSlots, initialMembers, membersForNewNode, sentinelPrimary } from '../../model/topology.ts';
import { control, onHost } from './proxies.ts';
import type { Operation } from './stages.ts';
import { settleAll } from './undo.ts';

/** Data that a node begins with. */
export interface RestoredData {
  readonly id: string;
  /** It ends with a script that shifts times to live. */
  readonly shifts: boolean;
}

/** What a cluster's nodes stand on. */
export interface Ground {
  readonly clusterId: string;
  readonly subnet: string;
  /** What it takes to make or start a node. `restored` tells the data that its volume was given. */
  requestFor(place: NodePlace, restored?: RestoredData): Parameters<ReturnType<typeof onHost>['ensureNode']>[0];
  /** Starts those of the plan's nodes that are among these, side by side. */
  start(places: readonly NodePlace[], restored?: ReadonlyMap<string, RestoredData>): Promise<void>;
  /** All nodes run: waits until they agree. */
  form(): Promise<void>;
  /** The cluster is as its spec says, and that is the spec that holds from now on. */
  accept(): Promise<void>;
  /** All that was made is gone again. */
  remove(): Promise<void>;
}

/** What was there before. */
export interface Seen {
  readonly observed: Observation;
  readonly scheduled: Parameters<typeof planProvision>[3];
}

/**
 * Secrets, image and network of a new cluster are there, and each is undone when the operation fails; so are nodes that are started afterwards.
 * @param slots of the shards, where they are not to have even shares
 */
export async function prepareGround(
  op: Operation,
  spec: ClusterSpec,
  plan: ProvisionPlan,
  { observed: before, scheduled }: Seen,
  slots?: InitialSlots,
): Promise<Ground> {
  const hostName = hostOf(spec);
  const host = onHost(hostName);
  const { generation } = plan;
  const removeSecrets = () => control.removeSecrets(spec.name);
  if (plan.makesSecrets) op.onFailure('remove certificates and passwords', removeSecrets, 'last');
  const secrets = () => control.ensureSecrets(spec);
  const { clusterId } = plan.makesSecrets ? await op.step(steps.secrets, secrets, ({ made }) => `made ${made.length}`) : await secrets();

  if (plan.nodes.length > 0)
    await op.step(
      steps.image(plan.engine),
      () => host.ensureImage(plan.engine.image),
      ({ pulled }) => (pulled ? 'pulled' : 'is on the host'),
    );

  const removeNetwork = () => host.removeNetwork(spec.name, clusterId);
  if (plan.makesNetwork) op.onFailure('remove network', removeNetwork);
  const network = () => host.ensureNetwork(spec, clusterId);
  const { subnet } = plan.makesNetwork ? await op.step(steps.network, network, (made) => made.subnet) : await network();

  const removeNodes = () =>
    settleAll(
      plan.newNodes.map(({ name, newVolume }) =>
        onHost(hostName, name).removeNode(spec.name, name, {
          clusterId,
          orderly: false,
          withVolume: newVolume,
          newSince: before.observedAt,
        }),
      ),
    );
  if (plan.newNodes.length > 0) op.onFailure('remove new nodes', removeNodes);

  const members = (place: NodePlace) =>
    before.views.length > 0
      ? { members: membersForNewNode(spec, clusterId, subnet, before, place, slots) }
      : slots === undefined
        ? {}
        : { members: initialMembers(spec, clusterId, subnet, slots) };
  const volumes = new Set(before.volumes.map((volume) => volume.node));
  const primaryAddress = sentinelPrimary(spec, subnet, before);
  const planned = new Set(plan.nodes.map(({ name }) => name));
  const requestFor: Ground['requestFor'] = (place, restored) => ({
    spec,
    clusterId,
    generation,
    place,
    subnet,
    primaryAddress,
    ...members(place),
    ...(volumes.has(place.name) ? {} : { newSince: before.observedAt }),
    ...(restored === undefined ? {} : { restored: restored.id }),
    ...(restored?.shifts === true ? { shifts: true } : {}),
  });
  return {
    clusterId,
    subnet,
    requestFor,
    start: (places, restored) =>
      op.together(
        places
          .filter(({ name }) => planned.has(name))
          .map(
            (place) => () =>
              op.step(
                steps.node(place),
                () => onHost(hostName, place.name).ensureNode(requestFor(place, restored?.get(place.name))),
                ({ did }) => did,
              ),
          ),
      ),
    async form() {
      if (plan.steps.some((step) => step.name === steps.form))
        await op.step(
          steps.form,
          () => host.awaitFormed(spec),
          ({ headline }) => headline,
        );
    },
    async remove() {
      await removeNodes();
      await removeNetwork();
      await removeSecrets();
      op.keep();
    },
    async accept() {
      await op.verify(spec);
      if (plan.steps.some((step) => step.name === steps.schedule)) {
        if (scheduled === null) op.onFailure('remove the schedule', () => control.removeSchedule(spec.name));
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
    },
  };
}
