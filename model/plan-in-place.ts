import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { RestoreInput } from '../config/operations.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import { assess } from './health.ts';
import type { KnownCluster } from './known-cluster.ts';
import { addressOf, type NodePlace, placesOf } from './layout.ts';
import { answered, type Observation, type Unfinished } from './observation.ts';
import { type BackupPlan, planBackup } from './plan-backup.ts';
import { dataOf, layingOutCost, loadSteps, modeOf, refuseData, restoreSteps } from './plan-restore.ts';
import { type ClusterSource, plannedRecovery, type ShardSource } from './recovery/shard-recovery.ts';
import { sentinelPrimary } from './topology.ts';
import { count } from './words.ts';

/** A plan that gives a cluster data that it had, on the nodes that it has. */
export interface InPlacePlan extends Plan {
  /** What it has now is backed up first. */
  readonly backup: BackupPlan['shards'];
  /** The node of each shard that loads its data, and leads it from then on. */
  readonly primaries: readonly { readonly place: NodePlace; readonly source: ShardSource }[];
  /** Begin empty, and get it from those. */
  readonly replicas: readonly NodePlace[];
  readonly sentinels: readonly NodePlace[];
  /** Those that lead now: they come first when the data before is put back. */
  readonly leaders: readonly NodePlace[];
}

export const inPlaceSteps = {
  layOut: restoreSteps.layOut,
  refuse: 'refuse writes',
  stop: 'stop every node',
  replace: 'replace the data',
  start: (node: string) => `start ${node}`,
  load: restoreSteps.load,
  rewrite: restoreSteps.rewrite,
  form: restoreSteps.form,
  admit: 'let the applications in again',
  clear: 'remove the data before',
  putBack: 'put back the data before',
} as const;

/** As `backup` does it, with its defaults. */
const BACKUP = { verify: 'load', fromPrimary: true } as const;

/** What it takes to replace the data of a running cluster. */
export function planInPlace(
  spec: ClusterSpec,
  known: KnownCluster,
  source: ClusterSource,
  input: Pick<RestoreInput, 'confirm' | 'include' | 'changes' | 'ttl'>,
  observation: Observation,
): InPlacePlan {
  const backup = planBackup(spec, known, { ...BACKUP, cluster: spec.name, shardsAtOnce: 2, dryRun: false, whenBusy: 'fail' }, observation);
  const places = placesOf(spec);
  const data = places.filter(({ kind }) => kind === 'data');
  const subnet = observation.network?.subnet ?? '';
  const first = sentinelPrimary(spec, subnet, observation);
  const leads = (place: NodePlace) => (spec.mode === 'cluster' ? place.ordinal === 0 : addressOf(place, subnet) === first);
  const primaries = source.shards.flatMap((shard) => {
    const place = data.find((one) => one.shard === shard.shard && leads(one));
    return place === undefined ? [] : [{ place, source: shard }];
  });
  const replicas = data.filter((place) => !leads(place));
  const sentinels = places.filter(({ kind }) => kind === 'sentinel');
  const now = new Set(
    observation.nodes
      .filter(answered)
      .filter(({ role }) => role === 'primary')
      .map(({ name }) => name),
  );
  const start = (place: NodePlace, change: string): PlanStep => ({ name: inPlaceSteps.start(place.name), change });
  return {
    backup: backup.shards,
    primaries,
    replicas,
    sentinels,
    leaders: data.filter(({ name }) => now.has(name)),
    summary: `${spec.name} gets its own data, ${source.what}, in place of what it has now; that is backed up first, and nobody can write meanwhile, nor use the cluster at all while its nodes are stopped`,
    steps: [
      ...primaries.map(({ place, source: shard }) => ({
        name: inPlaceSteps.layOut(shard.shard),
        change: `${shard.base.keys} keys of ${dataOf(shard)} go into the volume of ${place.name}, beside its data`,
        cost: layingOutCost(shard),
        undo: 'remove it',
      })),
      {
        name: inPlaceSteps.refuse,
        change: 'from here on writes get an error (NOREPLICAS), so that the backup has every one that did not; reads are served',
        cost: `${spec.name} takes no writes until the applications are let in again`,
        undo: 'let writes in again',
      },
      ...backup.steps,
      {
        name: inPlaceSteps.stop,
        change: 'from here on nobody reads either',
        cost: `a pause: ${spec.name} is away until the applications are let in again`,
        undo: inPlaceSteps.putBack,
      },
      {
        name: inPlaceSteps.replace,
        change: 'each shard begins with what was laid out; its replicas begin empty',
        undo: inPlaceSteps.putBack,
      },
      ...primaries.map(({ place }) => start(place, 'it leads its shard; the operator alone may speak to it')),
      ...loadSteps(spec, input.ttl),
      ...[...replicas, ...sentinels].map((place) => start(place, place.kind === 'data' ? 'it copies its primary' : 'it watches again')),
      { name: inPlaceSteps.form, change: 'every node agrees with every other', cost: 'about 3 s until the servers agree' },
      { name: inPlaceSteps.admit, change: 'from here on it is not put back any more' },
      { name: inPlaceSteps.clear, change: 'what the nodes had is removed from their volumes; the backup of it stays, held' },
    ],
    refusals: refuse(spec, source, input, observation, [...backup.refusals]),
    recovery: source.shards.map(plannedRecovery),
    replaces: `What ${spec.name} has now is replaced, and what was written after that moment is gone from it. It is backed up first, when nobody can write any more.`,
  };
}

function refuse(
  spec: ClusterSpec,
  source: ClusterSource,
  { confirm, include, changes }: Pick<RestoreInput, 'confirm' | 'include' | 'changes'>,
  observation: Observation,
  backup: readonly string[],
): readonly string[] {
  const { name } = spec;
  const elsewhere = 'restore into another name (into), and look at the data there';
  const refusals: string[] = [];
  if (confirm === undefined)
    refusals.push(`${name} exists, and what it has now would be replaced: ${elsewhere}; or type its name once more (confirm: "${name}")`);
  if (include.length > 0)
    refusals.push(`a part of the keys cannot take the place of all: ${elsewhere}, and copy the keys that are missing`);
  if (Object.keys(changes).length > 0)
    refusals.push(`its spec stays as it is in place: leave the changes out, and apply the spec afterwards; or ${elsewhere}`);
  if (source.cluster !== name) refusals.push(`the data is that of ${source.cluster}`);
  if (modeOf(source) !== spec.mode) refusals.push(`it was in ${modeOf(source)} mode, and is in ${spec.mode} mode now: ${elsewhere}`);
  else if (source.shards.length !== spec.shards)
    refusals.push(`it had ${count(source.shards.length, 'shard')} then, and has ${spec.shards} now: ${elsewhere}`);
  if (!spec.persistence.aof)
    refusals.push(
      `it keeps no append-only file, so what it has now could not be put back: apply persistence.aof: true first; or ${elsewhere}`,
    );
  refusals.push(...refuseData(spec, source, 'as it was'));
  const { sound, findings } = assess(spec, observation);
  const amiss = findings.filter(({ severity }) => severity !== 'info').slice(0, 5);
  if (!sound) refusals.push(...amiss.map(({ subject, message, next }) => `${subject}: ${message}. Next: ${next}; or ${elsewhere}`));
  else refusals.push(...backup);
  return refusals;
}

/** What it takes to end what a terminated operation has left; nothing else is done. */
export function planUnfinished(spec: ClusterSpec, { leaders, committed }: Unfinished): Plan {
  const begun = `a restore of ${spec.name} in place was broken off`;
  if (committed === true)
    return {
      summary: `${begun} when all shards had their data: it is ended`,
      steps: [
        { name: inPlaceSteps.admit, change: 'applications may use it again' },
        { name: inPlaceSteps.clear, change: 'what the nodes had is removed from their volumes; the backup of it stays, held' },
      ],
      refusals: [],
    };
  return {
    summary: `${begun} before all shards had their data: what it had before is put back. Then restore again`,
    steps: [
      {
        name: inPlaceSteps.putBack,
        change: `every node is stopped, gets its own data and settings back, and starts, ${leaders.join(', ')} first`,
        cost: `a pause: ${spec.name} is away meanwhile`,
      },
    ],
    refusals: [],
  };
}
