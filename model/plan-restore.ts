import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { PlanStep } from '../config/progress.ts';
import type { KnownCluster } from './known-cluster.ts';
import { type NodePlace, placesOf } from './layout.ts';
import type { Observation } from './observation.ts';
import { type ProvisionPlan, planProvision, provisionSteps } from './plan-provision.ts';
import { whyUnreadable } from './recovery/readable.ts';
import { type ClusterSource, plannedRecovery, rangesOf, type ShardSource } from './recovery/shard-recovery.ts';
import { maxmemoryOf } from './server-conf.ts';
import { countSlots, SLOTS } from './slots.ts';
import { count } from './words.ts';

/** A plan of a new cluster, with the data that its primaries begin with. */
export interface RestorePlan extends ProvisionPlan {
  /** The node that each shard begins with, and its data. */
  readonly primaries: readonly { readonly place: NodePlace; readonly source: ShardSource }[];
}

export const restoreSteps = {
  ...provisionSteps,
  layOut: (shard: number) => `lay out the data of shard ${shard}`,
  load: 'load the data',
  settle: 'switch the append-only file off',
} as const;

/** What it takes to make a cluster of the spec that has this data. */
export function planRestore(spec: ClusterSpec, known: KnownCluster, source: ClusterSource, observation: Observation): RestorePlan {
  const ground = planProvision(spec, known, observation);
  const primaries = source.shards.flatMap((shard) => {
    const place = placesOf(spec).find((one) => one.kind === 'data' && one.shard === shard.shard && one.ordinal === 0);
    return place === undefined ? [] : [{ place, source: shard }];
  });
  const first = new Set(primaries.map(({ place }) => provisionSteps.node(place)));
  const starts = new Set(ground.nodes.map(provisionSteps.node));
  const before = ground.steps.findIndex(({ name }) => starts.has(name) || name === provisionSteps.form || name === provisionSteps.accept);
  const [prepares, rest] = [ground.steps.slice(0, before), ground.steps.slice(before)];
  const bytes = source.shards.reduce((sum, { base }) => sum + base.object.plainBytes, 0);
  return {
    ...ground,
    primaries,
    summary: `${spec.name} gets the data of ${source.cluster}, ${source.what}: ${count(source.shards.length, 'shard')}, ${mebibytes(bytes)}${source.proven ? '' : '; no server has loaded it yet'}`,
    steps: [
      ...prepares,
      ...primaries.map(({ place, source: shard }) => layOutStep(place, shard)),
      ...rest.filter(({ name }) => first.has(name)),
      {
        name: restoreSteps.load,
        change: 'the primaries load their data, and their keys are counted',
        cost: 'as long as a server takes to load it',
      },
      ...(spec.persistence.aof
        ? []
        : [{ name: restoreSteps.settle, change: 'data is loaded from an append-only file, and the spec wants none' }]),
      ...rest.filter(({ name }) => !first.has(name)),
    ],
    refusals: [
      ...(known.source === 'none' ? [] : [exists(spec.name)]),
      ...refuse(spec, source),
      ...(known.source === 'none' ? ground.refusals : []),
    ],
    recovery: source.shards.map(plannedRecovery),
  };
}

function layOutStep({ name }: NodePlace, { shard, base, backup, until }: ShardSource): PlanStep {
  const from = backup === undefined ? 'the base of its archive' : `backup ${backup}`;
  const writes =
    until === undefined
      ? ''
      : `, and what was written after it until ${new Date(until.reachedMs).toISOString()} (${mebibytes(until.bytes)} in ${count(until.segments, 'segment')})`;
  const bytes = base.object.plainBytes + (until?.bytes ?? 0);
  return {
    name: restoreSteps.layOut(shard),
    change: `${base.keys} keys of ${from} (${mebibytes(base.object.plainBytes)})${writes} go into the volume of ${name}`,
    cost: `about ${Math.ceil(bytes / BYTES_A_SECOND)} s`,
    undo: 'remove the volume',
  };
}

/** What was seen on two cores, with the bucket on the same machine. */
const BYTES_A_SECOND = 100 * 1024 ** 2;

const exists = (name: string): string =>
  `a cluster named ${name} exists: restore into another name, look at the data there, and then let the applications use it; or remove what is there (holdfast deprovision ${name})`;

function refuse(spec: ClusterSpec, source: ClusterSource): readonly string[] {
  const refusals: string[] = [];
  const unreadable = source.shards.flatMap(({ base }) => whyUnreadable(base.server, spec) ?? []);
  refusals.push(...new Set(unreadable));
  const kept = source.shards.some(({ slots }) => slots !== '') ? 'cluster' : 'sentinel';
  if (kept !== spec.mode || source.shards.length !== spec.shards)
    refusals.push(
      `the data is of ${kept} mode with ${count(source.shards.length, 'shard')}, and ${spec.name} would have ${spec.mode} mode with ${count(spec.shards, 'shard')}: leave mode and shards as they were, and scale it afterwards (holdfast scale ${spec.name})`,
    );
  const slots = source.shards.flatMap((shard) => rangesOf(shard.slots));
  if (kept === 'cluster' && countSlots(slots) !== SLOTS)
    refusals.push(`its shards have ${countSlots(slots)} of ${SLOTS} slots: use another backup (holdfast backup list ${source.cluster})`);
  const largest = Math.max(...source.shards.map(({ base }) => base.object.plainBytes));
  if (largest > maxmemoryOf(spec))
    refusals.push(
      `a shard has ${mebibytes(largest)} of data, and a node of ${spec.name} may hold ${mebibytes(maxmemoryOf(spec))}: give nodes more memory (resources.memory in the changes)`,
    );
  return refusals;
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
