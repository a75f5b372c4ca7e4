import { z } from 'zod';
import { type ClusterSpec, clusterSpec, parseBytes } from '../config/cluster-spec.ts';
import type { ScaleInput } from '../config/operations.ts';
import type { PlanStep } from '../config/progress.ts';
import { refuseLimits } from './host-room.ts';
import type { KnownCluster } from './known-cluster.ts';
import { canonicalJson, limitsOf, type NodePlace, placesOf, prefixFor } from './layout.ts';
import { planMoves } from './migration/balance.ts';
import { refuseKeys } from './migration/key-room.ts';
import type { SlotMove } from './migration/moves.ts';
import { chooseStrategy, describeScan, ownersOf, plannedMoves, refuseFull } from './migration/planned-moves.ts';
import { shardsNow } from './migration/shards-now.ts';
import type { BigKeyScan, SlotSurvey } from './migration/survey.ts';
import { answered, type Observation } from './observation.ts';
import { type ConfigurePlan, configureSteps, planConfigure } from './plan-configure.ts';
import { type MovePlan, moveStep, stepOfMoves } from './plan-rebalance.ts';
import { noSlots } from './plan-repair.ts';
import { refuseUnsound } from './ready-to-move.ts';
import { maxmemoryOf } from './server-conf.ts';
import { usableOffsets } from './subnets.ts';
import { inBothSizes, largerOf, missingIn, primariesOf, withoutForgotten } from './unfinished-scale.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out. */
export interface ScalePlan extends MovePlan {
  readonly newSpec: ClusterSpec;
  /** The larger one of before and after: it names every node that takes part. */
  readonly larger: ClusterSpec;
  readonly newNodes: readonly NodePlace[];
  /** Replicas first. */
  readonly leavingNodes: readonly NodePlace[];
  readonly leavingShards: readonly number[];
  /** Nodes that must lead their shard before its primary leaves. */
  readonly promotions: readonly string[];
  /** Whether the spec changes. */
  readonly accepts: boolean;
  /** How memory and CPU change; missing when they do not. */
  readonly resources?: ConfigurePlan;
}

/** The steps' names, shared by the plan, the runbook and the person who reads them. */
export const scaleSteps = {
  ...configureSteps,
  image: 'find image',
  node: (node: { readonly name: string }) => `start ${node.name}`,
  join: 'join the cluster',
  promote: (node: string) => `make ${node} the primary of its shard`,
  emptied: 'see that nothing is left on the leaving nodes',
  forget: 'forget the leaving nodes',
  remove: (node: { readonly name: string }) => `remove ${node.name}`,
  sentinels: 'tell the sentinels',
} as const;

/** What is looked at before a cluster changes its size; in sentinel mode there are no slots. */
export interface SeenForScale {
  readonly observation: Observation;
  readonly survey?: SlotSurvey;
}

/** The spec that the cluster shall have afterwards, or why it cannot be. */
export function scaledSpec(spec: ClusterSpec, input: ScaleInput): { readonly newSpec: ClusterSpec; readonly refusals: readonly string[] } {
  const memory = input.resources?.memory ?? spec.resources.memory;
  const cpus = input.resources?.cpus ?? spec.resources.cpus;
  const parsed = clusterSpec.safeParse({
    ...spec,
    shards: input.shards ?? spec.shards,
    replicasPerShard: input.replicasPerShard ?? spec.replicasPerShard,
    resources: { memory, cpus },
  });
  return parsed.success ? { newSpec: parsed.data, refusals: [] } : { newSpec: spec, refusals: [z.prettifyError(parsed.error)] };
}

/**
 * Slots that must move when the number of shards changes: each shard that stays gets an even share, those that leave keep none. When exactly the
 * shards are asked for that there are, and nothing else, it goes on with a move that was cancelled after the new spec was accepted.
 */
export function movesOfScale(spec: ClusterSpec, known: KnownCluster, input: ScaleInput, observation: Observation): readonly SlotMove[] {
  const { newSpec } = scaledSpec(spec, input);
  const same = newSpec.shards === spec.shards;
  if (spec.mode === 'sentinel' || (same && (input.shards === undefined || canonicalJson(newSpec) !== canonicalJson(spec)))) return [];
  const seen = withoutForgotten(observation, missingIn(newSpec, spec), known) ?? observation;
  const shards = shardsNow(largerOf(spec, newSpec), known.clusterId ?? '', seen);
  return planMoves(
    shards.map(({ shard, slots }) => ({ shard, slots, weight: shard < newSpec.shards ? 1 : 0 })),
    { thresholdPercent: same ? BALANCED_PERCENT : 0 },
  );
}

/** So far off its share may a shard be that nobody has asked to change: as with `rebalance`. */
const BALANCED_PERCENT = 2;

/** What it takes to give a cluster another size; nothing, when it has it. */
export function planScale(
  spec: ClusterSpec,
  known: KnownCluster,
  input: ScaleInput,
  { observation, survey }: SeenForScale,
  slotMoves: readonly SlotMove[],
  scan: BigKeyScan,
): ScalePlan {
  const { newSpec, refusals: invalid } = scaledSpec(spec, input);
  const larger = largerOf(spec, newSpec);
  const [newNodes, leavingNodes] = [missingIn(spec, newSpec), missingIn(newSpec, spec)];
  const unfinished = spec.mode === 'cluster' ? withoutForgotten(observation, leavingNodes, known) : undefined;
  const seen = unfinished ?? observation;
  const leads = primariesOf(seen);
  const leavingShards = Array.from({ length: Math.max(0, spec.shards - newSpec.shards) }, (_, i) => newSpec.shards + i);
  const handOvers = leavingNodes.filter(({ name, shard }) => leads.has(name) && !leavingShards.includes(shard));
  const shards = spec.mode === 'sentinel' ? [] : shardsNow(larger, known.clusterId ?? '', seen);
  const slotless = new Set(
    shards.filter(({ shard, slots }) => slots.length === 0 && slotMoves.every(({ to }) => to !== shard)).map(({ shard }) => shard),
  );
  const [stuck, ready] = [handOvers.filter(({ shard }) => slotless.has(shard)), handOvers.filter(({ shard }) => !slotless.has(shard))];
  const promotions = spec.mode === 'sentinel' ? [] : ready.flatMap(({ shard }) => successor(placesOf(newSpec), shard, seen));
  const resources = input.resources === undefined ? undefined : planResources(spec, newSpec, known, observation);
  const rows = survey === undefined ? [] : plannedMoves(slotMoves, survey, ownersOf(shards));
  const choice = survey === undefined ? undefined : chooseStrategy(input.strategy, survey);
  const changes = newNodes.length + leavingNodes.length > 0;
  const sound =
    spec.mode === 'sentinel'
      ? inBothSizes(spec, newSpec, observation)
      : { spec: unfinished === undefined ? spec : newSpec, observation: seen };
  const steps: readonly PlanStep[] = [
    ...(resources?.steps ?? []),
    ...(newNodes.length > 0 ? additions(newSpec, newNodes) : []),
    ...(changes && newNodes.length > 0 ? [accept(known)] : []),
    ...(slotMoves.length > 0 ? [stepOfMoves(slotMoves)] : []),
    ...promotions.map((node) => ({ name: scaleSteps.promote(node), change: 'a failover that both sides coordinate; no write is lost' })),
    ...(leavingNodes.length > 0 ? removals(spec, leavingNodes, leavingShards) : []),
    ...((changes && newNodes.length === 0) || (!changes && resources !== undefined && resources.steps.length > 0) ? [accept(known)] : []),
  ];
  const refusals = [
    ...invalid,
    ...(spec.mode === 'sentinel' && input.shards !== undefined && input.shards !== 1 ? [noSlots(spec)] : []),
    ...(newNodes.length > 0 && leavingNodes.length > 0
      ? ['shards and replicas cannot go up and down in one operation: ask for one of them first, and for the other afterwards']
      : []),
    ...(changes && resources !== undefined && !resources.limitsFirst
      ? ['memory cannot go down while nodes come or go: change the number of nodes first, and memory afterwards']
      : []),
    ...(changes || slotMoves.length > 0 ? refuseUnsound(sound.spec, larger, known, sound.observation) : []),
    ...(resources?.refusals ?? []),
    ...refuseRoom(spec, newSpec, newNodes, observation),
    ...(spec.mode === 'sentinel' && handOvers.length > 0
      ? [
          `${handOvers[0]?.name} is the primary now and would leave: let the sentinels fail over first (SENTINEL FAILOVER ${spec.name}, in a quiet moment)`,
        ]
      : []),
    ...stuck.map(
      ({ name, shard }) =>
        `${name} leads shard ${shard}, which has no slots, and would leave: the servers hold no election for such a shard. Next: holdfast rebalance ${spec.name} gives it slots, then the same again`,
    ),
    ...(spec.mode === 'cluster' && promotions.length < ready.length
      ? [
          `${ready.map(({ name }) => name).join(', ')} would leave as primary, and its shard has no other replica that is in sync: holdfast status ${spec.name}`,
        ]
      : []),
    ...(slotMoves.length > 0 && choice !== undefined ? choice.refusals : []),
    ...(survey === undefined
      ? []
      : [
          ...refuseKeys(scan, {
            bigKeys: input.bigKeys,
            maxKeyBytes: input.limits.maxKeyBytes,
            moves: slotMoves,
            rows,
            survey,
            containerBytes: limitsOf(newSpec, 'data').memoryBytes,
          }),
          ...refuseFull(rows, survey, Number(newSpec.config.maxmemory === undefined ? maxmemoryOf(newSpec) : 0) || undefined),
        ]),
  ];
  return {
    summary: [summarise(spec, newSpec, steps), ...describeScan(scan, input.bigKeys, input.limits.maxKeyBytes)].join('\n'),
    steps,
    refusals,
    ...(rows.length === 0 ? {} : { moves: rows }),
    slotMoves,
    strategy: choice?.strategy ?? 'pipelined',
    mayFallBack: choice?.mayFallBack ?? true,
    newSpec,
    larger,
    newNodes,
    leavingNodes: leavingNodes.toSorted((a, b) => Number(leads.has(a.name)) - Number(leads.has(b.name))),
    leavingShards,
    promotions,
    accepts: steps.some(({ name }) => name === scaleSteps.accept),
    ...(resources === undefined ? {} : { resources }),
  };
}

/** A replica that stays and is in sync. */
function successor(after: readonly NodePlace[], shard: number, observation: Observation): readonly string[] {
  const stays = after.filter((place) => place.shard === shard).map(({ name }) => name);
  const ready = observation.nodes
    .filter(answered)
    .filter(({ name, role, replication }) => stays.includes(name) && role === 'replica' && replication.linkUp === true);
  return ready
    .toSorted((a, b) => b.replication.offset - a.replication.offset)
    .slice(0, 1)
    .map(({ name }) => name);
}

/** Limits and maxmemory, as configure changes them. Only these: what else has drifted is for configure to tell. */
function planResources(spec: ClusterSpec, newSpec: ClusterSpec, known: KnownCluster, observation: Observation): ConfigurePlan {
  const plan = planConfigure({ ...spec, resources: newSpec.resources }, known, observation);
  const steps = plan.steps.filter(({ name }) => name === configureSteps.limits || name === configureSteps.parameters);
  return { ...plan, steps };
}

function refuseRoom(
  spec: ClusterSpec,
  newSpec: ClusterSpec,
  newNodes: readonly NodePlace[],
  { host, network, containers }: Observation,
): readonly string[] {
  const there = new Set(containers.map(({ name }) => name));
  const more = newNodes.filter(({ name }) => !there.has(name)).reduce((sum, { kind }) => sum + limitsOf(newSpec, kind).memoryBytes, 0);
  const grown = Math.max(0, parseBytes(newSpec.resources.memory) - parseBytes(spec.resources.memory)) * containers.length;
  const needed = usableOffsets(`0.0.0.0/${prefixFor(newSpec)}`);
  const has = network === undefined ? 0 : usableOffsets(network.subnet);
  return [
    ...(newNodes.length === 0 ? [] : refuseLimits(newSpec, host, more + grown)),
    ...(newNodes.length > 0 && has < needed
      ? [
          `network ${network?.name} (${network?.subnet}) has too few addresses for ${count(newSpec.shards, 'shard')}: a cluster that shall grow so far needs a larger network.subnet from the start`,
        ]
      : []),
  ];
}

const additions = (spec: ClusterSpec, nodes: readonly NodePlace[]): readonly PlanStep[] => [
  { name: scaleSteps.image, change: 'the image is on the host; pulled when it is not' },
  ...nodes.map((node) => ({
    name: scaleSteps.node(node),
    change: `container ${node.name} (${spec.resources.memory} of memory, ${spec.resources.cpus} CPU) with a new volume`,
    undo: 'remove container and volume',
  })),
  { name: scaleSteps.join, change: 'every node knows the new ones, and new replicas follow their primary', undo: 'forget them' },
];

function removals(spec: ClusterSpec, nodes: readonly NodePlace[], shards: readonly number[]): readonly PlanStep[] {
  return [
    ...(shards.length > 0
      ? [
          {
            name: scaleSteps.emptied,
            change: 'all 16384 slots are owned by the shards that stay, and no key is left: else nothing is removed',
          },
        ]
      : []),
    ...(spec.mode === 'cluster'
      ? [{ name: scaleSteps.forget, change: `${count(nodes.length, 'node')}, by every node that stays; from here on there is no way back` }]
      : []),
    ...nodes.map((node) => ({
      name: scaleSteps.remove(node),
      change: `container and volume${spec.mode === 'sentinel' ? ', once it is certain that it is not the primary and will not be' : ''}`,
    })),
    ...(spec.mode === 'sentinel' ? [{ name: scaleSteps.sentinels, change: 'each looks anew, one after the other' }] : []),
  ];
}

const accept = (known: KnownCluster): PlanStep => ({
  name: scaleSteps.accept,
  change: `generation ${known.generation + 1} is the spec that holds`,
});

function summarise(spec: ClusterSpec, newSpec: ClusterSpec, steps: readonly PlanStep[]): string {
  if (steps.length === 0) return `${spec.name} already has this size`;
  if (steps.every(({ name }) => name === moveStep)) return `${spec.name}: an even share of the slots for each shard, while it serves`;
  const parts = [
    spec.shards === newSpec.shards ? '' : `${spec.shards} -> ${count(newSpec.shards, 'shard')}`,
    spec.replicasPerShard === newSpec.replicasPerShard
      ? ''
      : `${spec.replicasPerShard} -> ${count(newSpec.replicasPerShard, 'replica')} a shard`,
    spec.resources.memory === newSpec.resources.memory ? '' : `${spec.resources.memory} -> ${newSpec.resources.memory} of memory`,
    spec.resources.cpus === newSpec.resources.cpus ? '' : `${spec.resources.cpus} -> ${newSpec.resources.cpus} CPU`,
  ];
  return `${spec.name}: ${parts.filter((part) => part !== '').join(', ') || 'put right what differs'}, while it serves`;
}
