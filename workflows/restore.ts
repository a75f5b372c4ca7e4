import type { ClusterSpec } from '../config/cluster-spec.ts';
import { failures } from '../config/failures.ts';
import { type RestoreInput, subjectOf } from '../config/operations.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import type { Observation, Unfinished } from '../model/observation.ts';
import { inPlaceSteps, planInPlace, planUnfinished } from '../model/plan-in-place.ts';
import { idOf, planRestore } from '../model/plan-restore.ts';
import { restoredSpec } from '../model/recovery/restored-spec.ts';
import { type ClusterSource, rangesOf, withTtl } from '../model/recovery/shard-recovery.ts';
import { sentinelPrimary } from '../model/topology.ts';
import { backUp } from './support/backing-up.ts';
import { loadIn, redistribute } from './support/bringing-back.ts';
import { prepareGround } from './support/building.ts';
import { detailsOf, fail, isCancellation, reasonOf, typeOf } from './support/failure.ts';
import { requireKept } from './support/kept.ts';
import { type Done, operation } from './support/operation.ts';
import { control, looksAt } from './support/proxies.ts';
import { findToRead } from './support/reading.ts';
import { admit, putBack, type Replacing, replaceAll } from './support/replacing.ts';
import type { Operation } from './support/stages.ts';

/**
 * Brings data back: into a new cluster; or in place, into the cluster itself, when that is asked for and it exists.
 */
export async function restore(raw: unknown): Promise<OperationResult> {
  return operation('restore', raw, subjectOf, (op, input) =>
    subjectOf(input) === input.cluster && op.known.source !== 'none' ? restoreInPlace(op, input) : restoreBeside(op, input),
  );
}

/**
 * Makes a new cluster with the data that another one had. With as many shards, its primaries find the data in their volumes when they first start; else its keys are spread over them, or copied in by servers that load it. When
 * it fails, all of it is removed again. The source is only read, and may be gone.
 */
async function restoreBeside(op: Operation, input: RestoreInput): Promise<Done> {
  const startedAt = Date.now();
  const source = withTtl(await findToRead(op, { cluster: input.cluster, which: whichData(input) }), input.ttl);
  const spec = specOf(input, source);
  await control.requireHostWorker(hostOf(spec));
  const { plan, seen } = await op.propose(
    async () => ({ observed: await op.observe(spec), scheduled: await control.readSchedule(spec.name) }),
    ({ observed, scheduled }) => planRestore(spec, op.known, source, input, observed, scheduled),
  );
  const asItWas = plan.primaries.length > 0;
  const slots = asItWas ? source.shards.map((shard) => rangesOf(shard.slots)) : undefined;
  const ground = await prepareGround(op, spec, plan, seen, slots);
  const mark = { cluster: spec.name, source: source.cluster, what: source.what, id: idOf(source, input.include) };
  await control.beginRestore({ ...mark, startedAt: new Date(startedAt).toISOString() });
  const parts = { op, spec, plan, ground, source, shardsAtOnce: input.shardsAtOnce };
  const { shards, keys, expired, loadedAt } = await (asItWas ? loadIn(parts) : redistribute(parts, input.include));
  await ground.accept();
  const without = expired > 0 ? `, ${expired} of them with their time over` : '';
  return {
    summary: `${spec.name} is healthy and has the data of ${source.cluster}, ${source.what}: ${keys} keys${without}`,
    generation: plan.generation,
    restored: { source: source.cluster, shards, keys, expired, loadedMs: loadedAt - startedAt },
  };
}

/**
 * Replaces the data of a running cluster with data that it had. What it has now is backed up first, when nobody can write to it any more; verified, and held. When it fails, or is cancelled, before the applications are let in again, the cluster gets
 * back what it had. What an earlier one has left that somebody terminated is put in order, and nothing else is done then.
 */
async function restoreInPlace(op: Operation, input: RestoreInput): Promise<Done> {
  const startedAt = Date.now();
  const { spec, clusterId } = requireKept(input.cluster, op.known);
  await control.requireHostWorker(hostOf(spec));
  const left = await looksAt(hostOf(spec)).findUnfinished(spec);
  if (left !== undefined) return endUnfinished(op, spec, clusterId, left);

  const source = withTtl(await findToRead(op, { cluster: input.cluster, which: whichData(input) }), input.ttl);
  const { plan, seen } = await op.propose(
    () => op.observe(spec),
    (observed) => planInPlace(spec, op.known, source, input, observed),
  );
  const reason = `what ${spec.name} had before it was restored in place`;
  const hold = { by: op.by, reason, since: new Date(startedAt).toISOString() };
  const { shardsAtOnce } = input;
  let id = '';
  const keptText = () => `what it had before is backup ${id}, which is held`;
  const save = async () => {
    const what = { spec, clusterId, shards: plan.backup, verify: 'load', fromPrimary: true, shardsAtOnce, label: reason, hold } as const;
    ({ id } = await backUp(op, what));
    op.soFar(keptText());
  };
  try {
    const { shards, keys, expired, loadedAt } = await replaceAll(partsOf(op, spec, clusterId, seen), plan, source, input, save);
    return {
      summary: `${spec.name} is healthy and has its data again, ${source.what}: ${keys} keys; ${keptText()}: holdfast backup release ${spec.name} ${id} when nobody needs it`,
      restored: { source: source.cluster, shards, keys, expired, loadedMs: loadedAt - startedAt, before: id },
    };
  } catch (error) {
    if (isCancellation(error) || id === '') throw error;
    throw fail(
      typeOf(error),
      `${reasonOf(error)}
The cluster is to get back what it had: holdfast status ${spec.name}. And ${keptText()}; if it is needed: holdfast restore ${spec.name} --backup ${id} --into <another name>`,
      ...detailsOf(error),
    );
  }
}

/** Puts in order what a restore in place has left that was terminated: forwards when all was there already, else back. */
async function endUnfinished(op: Operation, spec: ClusterSpec, clusterId: string, left: Unfinished): Promise<Done> {
  const { plan, seen } = await op.propose(
    () => op.observe(spec),
    () => planUnfinished(spec, left),
  );
  const parts = partsOf(op, spec, clusterId, seen);
  if (left.committed === true) await admit(parts, left.replacement);
  else await op.step(inPlaceSteps.putBack, () => putBack(parts, left));
  await op.verify(spec);
  return { summary: plan.summary };
}

const partsOf = (op: Operation, spec: ClusterSpec, clusterId: string, seen: Observation): Replacing => {
  const subnet = seen.network?.subnet ?? '';
  return { op, spec, clusterId, subnet, primaryAddress: sentinelPrimary(spec, subnet, seen) };
};

const whichData = ({ backup, at }: RestoreInput) =>
  backup !== undefined ? { backup } : at !== undefined ? { atMs: Date.parse(at) } : ('latest' as const);

function specOf(input: RestoreInput, source: ClusterSource): ClusterSpec {
  const parsed = restoredSpec(source.spec, subjectOf(input), input.changes);
  if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
  return parsed.value;
}
