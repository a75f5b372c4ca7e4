import type { ClusterSpec } from '../config/cluster-spec.ts';
import { type EngineVersion, findEngineVersion } from '../config/engines.ts';
import { networkName } from '../config/names.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import type { RestoreMark } from '../config/restore.ts';
import { type BackupSchedule, scheduleOf } from '../config/schedules.ts';
import { refuseEmptyNodes } from './empty-nodes.ts';
import { assess } from './health.ts';
import { refuseLimits } from './host-room.ts';
import type { KnownCluster } from './known-cluster.ts';
import { limitsOf, type NodePlace, placesOf, prefixFor, specHash } from './layout.ts';
import type { Observation } from './observation.ts';
import { scheduleSteps } from './plan-schedule.ts';
import { usableOffsets } from './subnets.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out. */
export interface ProvisionPlan extends Plan {
  readonly engine: EngineVersion;
  /** Nodes to make or start. */
  readonly nodes: readonly NodePlace[];
  /**
   * Nodes that did not exist before, and so are removed again when the operation fails; with their volume when that is new too. None for a
   * cluster that was accepted before: a node that joined it may hold the only copy of something by then.
   */
  readonly newNodes: readonly { readonly name: string; readonly newVolume: boolean }[];
  readonly makesSecrets: boolean;
  readonly makesNetwork: boolean;
  /** The keeper has no spec yet, or lost it. */
  readonly accepts: boolean;
  /** Generation of the spec afterwards. One that is on record keeps its own: who lost the keeper has lost no spec. */
  readonly generation: number;
}

/** The steps' names, shared by the plan, the runbook and the person who reads them. */
export const provisionSteps = {
  secrets: 'make certificates and passwords',
  image: (engine: EngineVersion) => `find image ${engine.image}`,
  network: 'make network',
  node: (node: NodePlace) => `start ${node.name}`,
  form: 'form the cluster',
  schedule: 'schedule backups',
  accept: 'hand the spec to the keeper',
} as const;

/** What it takes to make the cluster of the spec from what is there. Nothing, when it is there and healthy. */
export function planProvision(
  spec: ClusterSpec,
  known: KnownCluster,
  observation: Observation,
  scheduled: BackupSchedule | null = scheduleOf(spec),
): ProvisionPlan {
  const engine = findEngineVersion(spec.engine, spec.version);
  if (engine === undefined) throw new RangeError(`${spec.engine} ${spec.version} is not in the catalogue`);
  const containers = new Map(observation.containers.map((container) => [container.name, container]));
  const volumes = new Set(observation.volumes.map((volume) => volume.node));
  const nodes = placesOf(spec).filter((place) => containers.get(place.name)?.state !== 'running');
  const missing = nodes.filter((place) => !containers.has(place.name));
  const newNodes = known.source === 'none' ? missing.map((place) => ({ name: place.name, newVolume: !volumes.has(place.name) })) : [];
  const refusals = refuse(spec, known, observation, missing);
  const makesSecrets = known.clusterId === undefined;
  const makesNetwork = observation.network === undefined;
  const accepts = known.source !== 'keeper';
  const generation = known.spec === undefined ? known.generation + 1 : known.generation;
  const { sound } = assess(spec, observation);
  const works = makesSecrets || makesNetwork || nodes.length > 0 || !sound;
  const steps: readonly PlanStep[] = [
    ...(makesSecrets
      ? [
          {
            name: provisionSteps.secrets,
            change: "a CA of the cluster's own and generated passwords, sealed in the bucket",
            undo: 'remove them',
          },
        ]
      : []),
    ...(nodes.length > 0
      ? [
          {
            name: provisionSteps.image(engine),
            change: `${engine.image} is on host ${observation.host.name}; pulled when it is not`,
            cost: 'a download, the first time',
          },
        ]
      : []),
    ...(makesNetwork
      ? [
          {
            name: provisionSteps.network,
            change: `network ${networkName(spec.name)}, ${spec.network.subnet ?? 'a free subnet of the pool'}`,
            undo: 'remove it',
          },
        ]
      : []),
    ...nodes.map((node) => nodeStep(spec, node, known.source === 'none', containers.has(node.name), volumes.has(node.name))),
    ...(works ? [{ name: provisionSteps.form, change: formation(spec), cost: 'about 3 s until the servers agree' }] : []),
    ...scheduleSteps(provisionSteps.schedule, spec, scheduled),
    ...(accepts ? [{ name: provisionSteps.accept, change: `generation ${generation} is the spec that holds` }] : []),
  ];
  const summary =
    steps.length === 0
      ? `${spec.name} is already as the spec wants it`
      : `${summarise(spec)} (${nodes.length} of ${placesOf(spec).length} nodes to start)`;
  return { summary, steps, refusals, engine, nodes, newNodes, makesSecrets, makesNetwork, accepts, generation };
}

function nodeStep(spec: ClusterSpec, node: NodePlace, undoes: boolean, exists: boolean, hasVolume: boolean): PlanStep {
  const { memoryBytes, cpus } = limitsOf(spec, node.kind);
  const limits = `${node.kind === 'data' ? spec.resources.memory : `${memoryBytes / 1024 ** 2}Mi`} of memory, ${cpus} CPU`;
  const change = exists
    ? `its container is started again`
    : `container ${node.name} (${limits}) with ${hasVolume ? 'the volume that is there' : 'a new volume'}`;
  return {
    name: provisionSteps.node(node),
    change,
    ...(exists || !undoes ? {} : { undo: hasVolume ? 'remove the container, keep the volume' : 'remove container and volume' }),
  };
}

const summarise = (spec: ClusterSpec): string =>
  `${spec.engine} ${spec.version} in ${spec.mode} mode: ${spec.mode === 'cluster' ? `${spec.shards} shards with ${count(spec.replicasPerShard, 'replica')} each` : `a primary, ${count(spec.replicasPerShard, 'replica')}, ${spec.sentinels} sentinels`}, TLS ${spec.security.tls ? 'on' : 'off'}`;

/** Why nothing is made of what a restore has left. */
export const halfRestored = (cluster: string, { source, what }: RestoreMark): string =>
  `a restore of ${source}, ${what}, into ${cluster} began and never ended, so ${cluster} may have a part of the data: run the same restore again, or remove what is there (holdfast deprovision ${cluster})`;

const formation = (spec: ClusterSpec): string =>
  spec.mode === 'cluster'
    ? 'every node agrees on members and slots, and every replica follows its primary'
    : 'replicas follow the primary, and the sentinels agree on it';

function refuse(spec: ClusterSpec, known: KnownCluster, observation: Observation, newNodes: readonly NodePlace[]): readonly string[] {
  const { cluster, host } = observation;
  const refusals = observation.foreign.map(
    (thing) => `${thing} exists and is not Holdfast's: remove or rename it, or choose another cluster name`,
  );
  if (known.restoring !== undefined) refusals.push(halfRestored(spec.name, known.restoring));
  const ids = new Set(
    [...observation.containers, ...observation.volumes, ...(observation.network ? [observation.network] : [])].map(
      (owned) => owned.clusterId,
    ),
  );
  if ([...ids].some((id) => id !== known.clusterId)) {
    refusals.push(
      `host ${host.name} holds a cluster named ${cluster} of another Holdfast installation (or this one lost its records): choose another name, or remove it with holdfast deprovision ${cluster} --force`,
    );
  }
  if (known.spec !== undefined && specHash(known.spec) !== specHash(spec)) {
    refusals.push(
      `${cluster} exists with another spec (generation ${known.generation}): use configure, or holdfast apply -f <spec>, which chooses`,
    );
  }
  const other = observation.containers.find((container) => container.specHash !== specHash(spec));
  if (known.source === 'none' && other !== undefined) {
    refusals.push(
      `${cluster} was begun with another spec and never finished (${other.name}): finish it with that spec, or remove it with holdfast deprovision ${cluster}`,
    );
  }
  refusals.push(
    ...refuseLimits(
      spec,
      host,
      newNodes.reduce((sum, { kind }) => sum + limitsOf(spec, kind).memoryBytes, 0),
    ),
  );
  const room = spec.network.subnet === undefined ? undefined : usableOffsets(spec.network.subnet);
  if (room !== undefined && room < usableOffsets(`0.0.0.0/${prefixFor(spec)}`)) {
    refusals.push(`network.subnet ${spec.network.subnet} is too small: this cluster needs a /${prefixFor(spec)} or larger`);
  }
  if (known.source !== 'none') refusals.push(...refuseEmptyNodes(spec, known, observation));
  return refusals;
}
