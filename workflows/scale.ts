import { CancellationScope } from '@temporalio/workflow';
import { findEngineVersion } from '../config/engines.ts';
import type { MoveReport } from '../config/migration.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { limitsOf } from '../model/layout.ts';
import { noScan } from '../model/migration/survey.ts';
import { movesOfScale, planScale, type ScalePlan, scaledSpec, scaleSteps as steps } from '../model/plan-scale.ts';
import { membersForNewNode, sentinelPrimary } from '../model/topology.ts';
import { requireKept } from './support/kept.ts';
import { moveSlots, scanMoves } from './support/moving.ts';
import { operation } from './support/operation.ts';
import { control, looksAt, onHost } from './support/proxies.ts';
import { changeResources } from './support/resources.ts';
import { settleAll } from './support/undo.ts';

/**
 * Gives a live cluster another size. New nodes join, with their replicas, before any slot moves to them; nodes leave when nothing is left on
 * them. Up to the moment when the new spec is accepted a failure takes everything back; afterwards the cluster stays as it is, healthy, with
 * slots wherever they are, and the same operation again goes on.
 */
export async function scale(raw: unknown): Promise<OperationResult> {
  return operation(
    'scale',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { spec, clusterId } = requireKept(input.cluster, op.known);
      const hostName = hostOf(spec);
      const host = onHost(hostName);
      const looks = looksAt(hostName);
      await control.requireHostWorker(hostName);
      const { newSpec } = scaledSpec(spec, input);
      const { plan, seen } = await op.propose(
        async () => {
          const observation = await op.observe(spec);
          const moves = movesOfScale(spec, op.known, input, observation);
          if (moves.length === 0) return { observation, moves, scan: noScan };
          const survey = await looks.surveySlots({ spec, clusterId, bytes: false });
          return { observation, survey, moves, scan: await scanMoves({ spec, clusterId }, moves, survey, input) };
        },
        (all) => planScale(spec, op.known, input, all, all.moves, all.scan),
      );
      const { observation: before } = seen;
      const { larger, newNodes, leavingNodes } = plan;
      const generation = op.known.generation + 1;
      const accept = async () => {
        op.onFailure('hand the former spec back', () => control.acceptSpec(spec, generation + 1));
        await op.step(
          steps.accept,
          () => control.acceptSpec(newSpec, generation),
          () => `generation ${generation}`,
        );
        op.keep();
      };

      if (plan.resources !== undefined) await changeResources(op, spec, { ...spec, resources: newSpec.resources }, plan.resources);
      if (newNodes.length > 0) {
        await addNodes();
        await accept();
      }
      if (plan.slotMoves.length > 0) op.keep(); // data that has moved needs the memory that it moved to
      const moved: MoveReport | undefined =
        plan.slotMoves.length === 0 || seen.survey === undefined
          ? undefined
          : await moveSlots(op, plan, {
              spec: larger,
              clusterId,
              survey: seen.survey,
              scan: seen.scan,
              limits: input.limits,
              bigKeys: input.bigKeys,
              containerBytes: limitsOf(newSpec, 'data').memoryBytes,
            });
      for (const node of plan.promotions) await op.step(steps.promote(node), () => host.promoteReplica({ spec, clusterId }, node));
      if (leavingNodes.length > 0) await removeNodes(plan);
      else {
        if (newNodes.length === 0 && plan.accepts) await accept();
        await op.verify(newSpec);
      }
      const summary = plan.summary.replace(', while it serves', '');
      return { summary, ...(plan.accepts ? { generation } : {}), ...(moved === undefined ? {} : { moved }) };

      /** New nodes run, and every other node knows them. */
      async function addNodes(): Promise<void> {
        const engine = findEngineVersion(spec.engine, spec.version);
        await op.step(steps.image, () => host.ensureImage(engine?.image ?? ''));
        const { subnet } = await host.ensureNetwork(spec, clusterId);
        const names = newNodes.map(({ name }) => name);
        op.onFailure('remove the new nodes', async () => {
          const leaving = { spec: larger, clusterId, nodes: names, fresh: true };
          await host.retireNodes(leaving);
          if (spec.mode === 'cluster') await host.forgetNodes(leaving);
          await settleAll(
            names.map((name) =>
              onHost(hostName, name).removeNode(spec.name, name, {
                clusterId,
                orderly: false,
                withVolume: true,
                newSince: before.observedAt,
              }),
            ),
          );
          if (spec.mode === 'sentinel') await host.resetSentinels(spec);
        });
        await op.together(
          newNodes.map(
            (place) => () =>
              op.step(
                steps.node(place),
                () =>
                  onHost(hostName, place.name).ensureNode({
                    spec: newSpec,
                    clusterId,
                    generation,
                    place,
                    subnet,
                    newSince: before.observedAt,
                    ...(spec.mode === 'sentinel'
                      ? { primaryAddress: sentinelPrimary(spec, subnet, before) }
                      : { members: membersForNewNode(newSpec, clusterId, subnet, before, place) }),
                  }),
                ({ did }) => did,
              ),
          ),
        );
        await op.step(steps.join, async () => {
          if (spec.mode === 'cluster') await host.joinCluster({ spec: newSpec, clusterId });
          else await host.awaitFormed(newSpec);
          await host.reinstateNodes({ spec: newSpec, clusterId, nodes: names }); // an undo that could not remove them may have retired them
        });
      }

      /**
       * Nodes leave when nothing is left on them. Half of it would leave a cluster that no spec describes: it is not interrupted. But a pause of days
       * may stand before each of its steps: so the one that cannot be taken back makes certain itself that nothing is lost.
       */
      async function removeNodes({ leavingShards }: ScalePlan): Promise<void> {
        const leaving = { spec, clusterId, nodes: leavingNodes.map(({ name }) => name) };
        await op.boundary();
        if (leavingShards.length > 0) await op.step(steps.emptied, () => host.requireEmptied({ ...leaving, shards: leavingShards }));
        op.keep();
        await CancellationScope.nonCancellable(async () => {
          op.onFailure('let the leaving nodes be promoted again', () => host.reinstateNodes(leaving));
          if (spec.mode === 'cluster')
            await op.step(steps.forget, async () => {
              await host.retireNodes(leaving);
              await host.forgetNodes(leaving);
            });
          for (const place of leavingNodes)
            await op.step(steps.remove(place), async () => {
              if (spec.mode === 'sentinel') await host.retireNodes(leaving);
              await onHost(hostName, place.name).removeNode(spec.name, place.name, { clusterId, orderly: true, withVolume: true });
            });
          if (spec.mode === 'sentinel') await op.step(steps.sentinels, () => host.resetSentinels(newSpec));
          await accept();
          await op.verify(newSpec);
        });
      }
    },
  );
}
