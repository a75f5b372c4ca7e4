import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Parsed } from '../config/input.ts';
import { drillName } from '../config/names.ts';
import type { KnownCluster } from './known-cluster.ts';
import type { Observation } from './observation.ts';
import { planRestore, type RestorePlan, restoreSteps } from './plan-restore.ts';
import { restoredSpec } from './recovery/restored-spec.ts';
import type { ClusterSource } from './recovery/shard-recovery.ts';

export const drillSteps = { remove: 'remove the cluster of the drill', record: 'record the drill' } as const;

/** The cluster of a drill: no more nodes than the data needs, and nobody keeps, backs up or archives it. */
export const specOfDrill = (source: ClusterSource): Parsed<ClusterSpec> =>
  restoredSpec(source.spec, drillName(source.cluster), {
    replicasPerShard: source.shards.some(({ slots }) => slots !== '') ? 0 : 1,
    deletionProtection: false,
    backup: { enabled: false },
    pitr: { enabled: false },
  });

/** What it takes to bring the data back, and to remove it again. */
export function planDrill(spec: ClusterSpec, known: KnownCluster, source: ClusterSource, observation: Observation): RestorePlan {
  const plan = planRestore(spec, known, source, { include: [], ttl: 'absolute' }, observation, null);
  return {
    ...plan,
    summary: `${plan.summary}; then it is removed`,
    steps: [
      ...plan.steps.filter(({ name }) => name !== restoreSteps.accept && name !== restoreSteps.schedule),
      { name: drillSteps.remove, change: 'its nodes, their data, its network and its secrets are gone' },
      { name: drillSteps.record, change: 'holdfast status shows it as the last drill' },
    ],
  };
}

const [DAY_MS, SLACK_MS] = [86_400_000, 12 * 3_600_000];

/** Whether it is time for another one. A run of the schedule that comes a little early in its day, by its jitter, is not left out. */
export const isDrillDue = (everyDays: number, last: { readonly startedAt: string } | undefined, nowMs: number): boolean =>
  everyDays > 0 && (last === undefined || Date.parse(last.startedAt) + everyDays * DAY_MS - SLACK_MS <= nowMs);
