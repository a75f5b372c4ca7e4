import { isDeepStrictEqual } from 'node:util';
import { type ClusterSpec, clusterSpec } from '../../../config/cluster-spec.ts';
import type { StatusReport } from '../../../config/status.ts';
import type { Holdfast } from '../../client/index.ts';
import { carryOut, type Request, showPlan } from '../carry-out.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';
import { loadSpec } from '../spec-file.ts';

export interface PlanOptions extends Pick<StartingOptions, 'whenBusy' | 'output'> {
  readonly filename: string;
}

export type ApplyOptions = PlanOptions & StartingOptions;

export type ApplyOperation = 'provision' | 'configure';

/**
 * Which operation brings a cluster to its spec. Provision makes what is missing; configure changes what runs. A cluster that has the very spec
 * already but is not healthy may be half made, and one that no keeper holds was never finished: both are for provision.
 */
export function chooseOperation(status: Pick<StatusReport, 'verdict' | 'spec' | 'generation'>, wanted: ClusterSpec): ApplyOperation {
  if (status.verdict === 'absent' || status.spec === undefined || status.generation === undefined) return 'provision';
  // A spec that was kept by an earlier version may lack defaults that came later.
  const kept = clusterSpec.safeParse(status.spec);
  const same = kept.success && isDeepStrictEqual(kept.data, wanted);
  return same && status.verdict !== 'healthy' ? 'provision' : 'configure';
}

/** Reads the spec before anything is contacted. */
async function requestOf(options: ApplyOptions): Promise<(holdfast: Holdfast) => Promise<Request<ApplyOperation>>> {
  const { spec, input } = await loadSpec(options.filename);
  return async (holdfast) => ({
    operation: chooseOperation(await holdfast.status(spec.name), spec),
    input: { spec: input, ...sharedInput(options) },
  });
}

/** `holdfast plan -f spec.yaml`: what apply would do. Changes nothing. */
export async function plan(session: Session, options: PlanOptions): Promise<ExitCode> {
  return showPlan(session, { request: await requestOf(options), options }, `holdfast apply -f ${options.filename}`);
}

/** `holdfast apply -f spec.yaml`: shows the plan, asks, and runs that plan. */
export async function apply(session: Session, options: ApplyOptions): Promise<ExitCode> {
  return carryOut(session, { request: await requestOf(options), planOnly: 'holdfast plan', options });
}
