import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { BackupInput } from '../config/operations.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import { type BackupSource, backupSources, chooseSource } from './backup-source.ts';
import { assess } from './health.ts';
import type { KnownCluster } from './known-cluster.ts';
import { limitsOf } from './layout.ts';
import type { Observation } from './observation.ts';
import { count, mibUp } from './words.ts';

/** A shard with the node that its data is read from. */
export interface PlannedShard {
  readonly shard: number;
  readonly slots: string;
  readonly source: BackupSource;
}

export interface BackupPlan extends Plan {
  readonly shards: readonly PlannedShard[];
}

export const backupSteps = {
  store: (shard: number) => `back up shard ${shard}`,
  acl: 'back up the users',
  commit: 'write the manifest',
  verify: (shard: number) => `verify shard ${shard}`,
  record: 'record the verification',
} as const;

/**
 * Findings that stand in the way: with them nobody can say which shard has which slots. What is amiss with single nodes does not: a cluster that has
 * lost some of them needs its backup more than any other.
 */
const UNSOUND = new Set([
  'views-differ',
  'member-flags',
  'slots-open',
  'slots-unassigned',
  'cluster-state',
  'no-primary',
  'two-primaries',
  'sentinel-primary',
]);

/** What it takes to store every shard and to prove that it can be loaded. */
export function planBackup(spec: ClusterSpec, known: KnownCluster, input: BackupInput, observation: Observation): BackupPlan {
  const found = backupSources(spec, known.clusterId ?? '', observation).map((shard) => ({
    ...shard,
    source: chooseSource(shard, input.fromPrimary),
  }));
  const shards = found.flatMap(({ shard, slots, source }) => (source === undefined ? [] : [{ shard, slots, source }]));
  const unsound = assess(spec, observation).findings.filter(({ code }) => UNSOUND.has(code));
  const sourceless = found.filter(({ source }) => source === undefined);
  const bytes = shards.reduce((sum, { source }) => sum + source.memoryBytes, 0);
  return {
    summary: `${spec.name}: ${count(spec.shards, 'shard')}, about ${mibUp(bytes)} in memory, stored and then ${input.verify === 'load' ? 'loaded by a scratch server' : 'read again, loaded by no server'}`,
    steps: [
      ...shards.map(({ shard, source }) => ({
        name: backupSteps.store(shard),
        change: `the data of ${source.name}, ${source.role === 'replica' ? 'a replica' : 'the primary'}, goes into the bucket, compressed and sealed`,
        cost: `${source.name} forks, and needs memory for what is written meanwhile${source.role === 'primary' ? '; its clients wait while it forks' : ''}`,
        undo: 'remove what was stored',
      })),
      { name: backupSteps.acl, change: 'users, rules and hashes of passwords, sealed', undo: 'remove what was stored' },
      { name: backupSteps.commit, change: 'from then on it is a backup' },
      ...verifyingSteps(shards, input.verify, spec.resources.memory),
    ],
    refusals: [
      ...unsound.slice(0, 5).map(({ subject, message, next }) => `${subject}: ${message}. Next: ${next}`),
      ...sourceless.map(({ shard, sources }) =>
        sources.length > 0
          ? `shard ${shard} has no healthy replica to read from: mend one (holdfast status ${spec.name}), or say --from-primary (backup.fromPrimary in the spec, for scheduled ones) to read from its primary, whose clients wait while it forks`
          : `shard ${shard} has no node that could be read: holdfast status ${spec.name} shows what is amiss`,
      ),
    ],
    shards,
  };
}

/** How shards are proved, and the proof recorded. @param memory of a node, for people */
export const verifyingSteps = (
  shards: readonly { readonly shard: number }[],
  how: BackupInput['verify'],
  memory: string,
): readonly PlanStep[] => [
  ...shards.map(({ shard }) =>
    how === 'load'
      ? {
          name: backupSteps.verify(shard),
          change: 'a server of the same version, without network, loads it and counts the keys; then it is removed',
          cost: `up to ${memory} of memory on the host, and disk for the data`,
        }
      : { name: backupSteps.verify(shard), change: 'every byte is read, opened and compared' },
  ),
  { name: backupSteps.record, change: how === 'load' ? 'it is shown as verified' : 'it is shown as opened, not as verified' },
];

/** Memory of the server that loads a shard: what a node has, for there the data fits. */
export const scratchBytes = (spec: ClusterSpec): number => limitsOf(spec, 'data').memoryBytes;

/** Whether the shards have the slots now that they had when they were stored: then none of them has a key that another one has too, or should have. */
export function slotsThatMoved(
  spec: ClusterSpec,
  known: KnownCluster,
  stored: readonly { readonly shard: number; readonly slots: string }[],
  observation: Observation,
): readonly number[] {
  const now = new Map(backupSources(spec, known.clusterId ?? '', observation).map(({ shard, slots }) => [shard, slots]));
  return stored.filter(({ shard, slots }) => now.get(shard) !== slots).map(({ shard }) => shard);
}
