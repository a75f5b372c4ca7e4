import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planConfigure, configureSteps as steps } from '../model/plan-configure.ts';
import { fail } from './support/failure.ts';
import { operation } from './support/operation.ts';
import { control, onHost } from './support/proxies.ts';
import { changeResources } from './support/resources.ts';

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
        async () => ({
          observed: await op.observe({ ...former, config: { ...former.config, ...spec.config } }),
          scheduled: await control.readSchedule(spec.name),
        }),
        ({ observed, scheduled }) => planConfigure(spec, op.known, observed, scheduled),
      );
      const generation = op.known.generation + (plan.accepts ? 1 : 0);
      await changeResources(op, former, spec, plan);

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
      // What servers know nothing of comes when they are as the spec says: the schedule of backups, and the archive.
      if (plan.steps.some((step) => step.name === steps.schedule)) {
        op.onFailure('set the former schedule', () => control.ensureSchedule(former));
        await op.step(
          steps.schedule,
          () => control.ensureSchedule(spec),
          ({ did }) => did,
        );
      }
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
