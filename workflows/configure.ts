import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planConfigure, configureSteps as steps } from '../model/plan-configure.ts';
import { count } from '../model/words.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control, onHost } from './support/proxies.ts';
import { settleAll } from './support/undo.ts';

/** Gives a running cluster the settings of a changed spec, while it serves. What cannot change so is refused, with what it would need. */
export async function configure(raw: unknown): Promise<OperationResult> {
  return operation(
    'configure',
    raw,
    (input) => input.spec.name,
    async (op, { spec }) => {
      const former = op.known.spec;
      if (former === undefined)
        throw fail(
          failures.clusterNotFound,
          `there is no cluster named ${spec.name}: provision makes it (holdfast apply -f <spec> chooses)`,
        );
      const hostName = hostOf(former);
      const host = onHost(hostName);
      await control.requireHostWorker(hostName);
      const { plan } = await op.propose(
        // Also the values of parameters that only the new spec names: they are what it is taken back to.
        () => op.observe({ ...former, config: { ...former.config, ...spec.config } }),
        (seen) => planConfigure(spec, op.known, seen),
      );
      const generation = op.known.generation + (plan.accepts ? 1 : 0);
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

      if (plan.usersChange) {
        await op.step(
          steps.secrets,
          () => control.ensureSecrets(spec),
          ({ made }) => made.join(', ') || 'none needed',
        );
        op.onFailure('set the former users', () => host.applyUsers(former));
        await op.step(
          steps.users,
          () => host.applyUsers(spec),
          ({ removed }) => (removed.length > 0 ? `removed ${removed.join(', ')}` : 'set on every node'),
        );
      }

      await op.verify(spec);
      if (plan.accepts) op.onFailure('hand the former spec back', () => control.acceptSpec(former, generation + 1));
      if (plan.accepts)
        await op.step(
          steps.accept,
          () => control.acceptSpec(spec, generation),
          () => `generation ${generation}`,
        );
      return { summary: plan.summary, generation };
    },
  );
}
