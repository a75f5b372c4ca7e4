import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { hostOf } from '../../model/known-cluster.ts';
import { type ConfigurePlan, configureSteps as steps } from '../../model/plan-configure.ts';
import { count } from '../../model/words.ts';
import { onHost } from './proxies.ts';
import type { Operation } from './stages.ts';
import { settleAll } from './undo.ts';

/** Gives every node the limits and server parameters of a spec, in the order in which neither can starve the other. */
export async function changeResources(op: Operation, former: ClusterSpec, spec: ClusterSpec, plan: ConfigurePlan): Promise<void> {
  const hostName = hostOf(former);
  const host = onHost(hostName);
  const planned = (name: string) => plan.steps.some((step) => step.name === name);
  const limits = async () => {
    if (!planned(steps.limits)) return;
    op.onFailure('set the former limits', () =>
      settleAll(plan.limitNodes.map(({ name, kind }) => onHost(hostName, name).setLimits(former, name, kind))),
    );
    await op.step(
      steps.limits,
      () => settleAll(plan.limitNodes.map(({ name, kind }) => onHost(hostName, name).setLimits(spec, name, kind))),
      () => count(plan.limitNodes.length, 'container'),
    );
  };
  const parameters = async () => {
    if (!planned(steps.parameters)) return;
    op.onFailure('set the former server parameters', () => host.applyParameters(former, plan.formerParameters));
    await op.step(
      steps.parameters,
      () => host.applyParameters(spec, plan.parameters),
      () => `${Object.keys(plan.parameters).length} set on every node`,
    );
  };
  for (const change of plan.limitsFirst ? [limits, parameters] : [parameters, limits]) await change();
}
