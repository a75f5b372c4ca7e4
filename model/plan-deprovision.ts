import { networkName, volumeName } from '../config/names.ts';
import type { DeprovisionInput } from '../config/operations.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import type { KnownCluster } from './known-cluster.ts';
import type { Observation } from './observation.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out. */
export interface DeprovisionPlan extends Plan {
  /** Containers, in the order of their removal: sentinels first, so that none of them promotes while the others go. */
  readonly waves: readonly (readonly string[])[];
  /** Volumes, removed last. Empty when they are kept. */
  readonly volumes: readonly string[];
  readonly removesNetwork: boolean;
  readonly removesRecords: boolean;
  readonly closesKeeper: boolean;
  /** False when nothing of such a cluster was found anywhere. */
  readonly exists: boolean;
}

export const deprovisionSteps = {
  schedule: 'remove the schedule',
  container: (name: string) => `remove ${name}`,
  network: 'remove network',
  volumes: 'remove volumes',
  records: 'remove records and secrets',
  keeper: 'close the keeper',
} as const;

/**
 * Removes what carries the cluster's label, and nothing else; data goes last. With `keepVolumes` the network stays too: the nodes' addresses
 * are in the volumes.
 */
export function planDeprovision(
  input: DeprovisionInput,
  known: KnownCluster,
  observation: Observation,
  { scheduled, backups }: { readonly scheduled: boolean; readonly backups: number } = { scheduled: false, backups: 0 },
): DeprovisionPlan {
  const { cluster, keepVolumes, force } = input;
  const exists =
    scheduled ||
    known.source !== 'none' ||
    known.clusterId !== undefined ||
    observation.containers.length > 0 ||
    observation.volumes.length > 0 ||
    observation.network !== undefined;
  const waves = (['sentinel', 'data'] as const).map((kind) =>
    observation.containers.filter((one) => one.kind === kind).map((one) => one.name),
  );
  const containers = waves.flat();
  const volumes = keepVolumes ? [] : observation.volumes.map((volume) => volume.name);
  const removesNetwork = observation.network !== undefined && !keepVolumes;
  const removesRecords = !keepVolumes && (known.clusterId !== undefined || known.source !== 'none');
  const closesKeeper = known.source === 'keeper' && !keepVolumes;
  const steps: readonly PlanStep[] = [
    ...(scheduled ? [{ name: deprovisionSteps.schedule, change: 'no more backups on a schedule' }] : []),
    ...containers.map((name) => ({ name: deprovisionSteps.container(name), change: `stop and remove container ${name}` })),
    ...(removesNetwork ? [{ name: deprovisionSteps.network, change: `remove network ${networkName(cluster)}` }] : []),
    ...(volumes.length > 0
      ? [
          {
            name: deprovisionSteps.volumes,
            change: `remove ${count(volumes.length, 'volume')} with all data in them`,
            cost: 'the data is gone for good',
          },
        ]
      : []),
    ...(removesRecords ? [{ name: deprovisionSteps.records, change: 'remove the spec, the CA and the passwords from the bucket' }] : []),
    ...(closesKeeper ? [{ name: deprovisionSteps.keeper, change: `end workflow cluster/${cluster}` }] : []),
  ];
  const refusals = refuse(input, known, observation);
  const kept = keepVolumes
    ? `; ${count(observation.volumes.length, 'volume')} such as ${volumeName(observation.volumes[0]?.node ?? `${cluster}-0-0`)}, the network and the secrets stay`
    : '';
  const stored =
    backups === 0
      ? ''
      : `; ${count(backups, 'backup')} ${backups === 1 ? 'stays' : 'stay'} in the bucket: holdfast backup list ${cluster}. Once nobody needs them, remove backups/${cluster}/, archive/${cluster}/ and last keys/${cluster}/ there`;
  return {
    summary: `remove ${cluster}: ${count(containers.length, 'container')}, ${count(volumes.length, 'volume')}${kept}${force ? ' (forced)' : ''}${stored}`,
    steps,
    refusals,
    waves,
    volumes,
    removesNetwork,
    removesRecords,
    closesKeeper,
    exists,
  };
}

function refuse({ cluster, force, keepVolumes }: DeprovisionInput, known: KnownCluster, observation: Observation): readonly string[] {
  if (force) return [];
  const refusals: string[] = [];
  if (keepVolumes && known.spec?.persistence.aof === false) {
    refusals.push(
      `${cluster} keeps no AOF, so its volumes would not hold its data: set persistence.aof: true in its spec and apply it first`,
    );
  }
  if (known.spec?.deletionProtection === true) {
    refusals.push(`${cluster} is under deletion protection: set deletionProtection: false in its spec and apply it, or use --force`);
  }
  const ids = new Set([...observation.containers, ...observation.volumes].map((owned) => owned.clusterId));
  if ([...ids].some((id) => id !== known.clusterId)) {
    refusals.push(
      `${cluster} on host ${observation.host.name} was made by another Holdfast installation, or this one lost its records: if it shall go all the same, use --force`,
    );
  }
  return refusals;
}
