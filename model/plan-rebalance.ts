import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { RebalanceInput } from '../config/operations.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import type { KnownCluster } from './known-cluster.ts';
import { limitsOf } from './layout.ts';
import { planMoves } from './migration/balance.ts';
import { refuseKeys } from './migration/key-room.ts';
import type { SlotMove } from './migration/moves.ts';
import {
  chooseStrategy,
  describeMoves,
  describeScan,
  fromExplicit,
  ownersOf,
  plannedMoves,
  refuseFull,
  refuseMoves,
  refuseTwice,
} from './migration/planned-moves.ts';
import { shardsNow } from './migration/shards-now.ts';
import { type BigKeyScan, type SlotSurvey, slotBytes } from './migration/survey.ts';
import type { Observation } from './observation.ts';
import { refuseUnsound } from './ready-to-move.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out. */
export interface MovePlan extends Plan {
  readonly slotMoves: readonly SlotMove[];
  readonly strategy: 'native' | 'pipelined';
  readonly mayFallBack: boolean;
}

/** What is looked at before slots are moved. */
export interface SeenSlots {
  readonly observation: Observation;
  readonly survey: SlotSurvey;
}

export const moveStep = 'move slots';

/** The moves that a rebalance asks for, by what is in the slots now. */
export function movesOfRebalance(
  spec: ClusterSpec,
  known: KnownCluster,
  input: RebalanceInput,
  { observation, survey }: SeenSlots,
): readonly SlotMove[] {
  if (input.moves !== undefined) return fromExplicit(input.moves);
  const shards = shardsNow(spec, known.clusterId ?? '', observation);
  const weights = shards.map(({ shard }) => input.weights[String(shard)] ?? 1);
  if (weights.every((weight) => weight === 0)) return [];
  const owners = ownersOf(shards);
  const load = input.by === 'slots' ? undefined : input.by === 'keys' ? survey.keys : slotBytes(survey, (slot) => owners[slot] ?? -1);
  return planMoves(
    shards.map(({ shard, slots }) => ({ shard, slots, weight: weights[shard] ?? 1 })),
    {
      ...(load === undefined ? {} : { load }),
      thresholdPercent: input.threshold,
      ...(input.maxMoves === undefined ? {} : { maxMoves: input.maxMoves }),
    },
  );
}

/** What it takes to give every primary its share; nothing, when it has it. */
export function planRebalance(
  spec: ClusterSpec,
  known: KnownCluster,
  input: RebalanceInput,
  seen: SeenSlots,
  slotMoves: readonly SlotMove[],
  scan: BigKeyScan,
): MovePlan {
  const shards = shardsNow(spec, known.clusterId ?? '', seen.observation);
  const owners = ownersOf(shards);
  const strangers = Object.keys(input.weights).filter((shard) => Number(shard) >= spec.shards);
  const rows = plannedMoves(slotMoves, seen.survey, owners);
  const choice = chooseStrategy(input.strategy, seen.survey);
  const refusals = [
    ...refuseUnsound(spec, spec, known, seen.observation),
    ...strangers.map((shard) => `weights name shard ${shard}, and this cluster has shards 0 to ${spec.shards - 1}`),
    ...(shards.every(({ shard }) => input.weights[String(shard)] === 0) ? ['every weight is 0, and the slots must be somewhere'] : []),
    ...(input.moves === undefined ? [] : [...refuseTwice(input.moves), ...refuseMoves(slotMoves, owners, spec.shards)]),
    ...(slotMoves.length === 0 ? [] : choice.refusals),
    ...refuseKeys(scan, {
      bigKeys: input.bigKeys,
      maxKeyBytes: input.limits.maxKeyBytes,
      moves: slotMoves,
      rows,
      survey: seen.survey,
      containerBytes: limitsOf(spec, 'data').memoryBytes,
    }),
    ...refuseFull(rows, seen.survey),
  ];
  const slots = rows.reduce((sum, row) => sum + row.slots, 0);
  const by = input.moves === undefined ? `by ${input.by}` : 'as given';
  return {
    summary:
      slotMoves.length === 0
        ? `${spec.name} is balanced ${by}`
        : [
            `${spec.name}: ${count(slots, 'slot')} in ${count(rows.length, 'pair')} of shards, ${by}, while it serves`,
            ...describeScan(scan, input.bigKeys, input.limits.maxKeyBytes),
          ].join('\n'),
    steps: slotMoves.length === 0 ? [] : [stepOfMoves(slotMoves)],
    refusals,
    ...(rows.length === 0 ? {} : { moves: rows }),
    slotMoves,
    strategy: choice.strategy,
    mayFallBack: choice.mayFallBack,
  };
}

export const stepOfMoves = (moves: readonly SlotMove[]): PlanStep => ({
  name: moveStep,
  change: describeMoves(moves),
  cost: 'commands on several keys of an open slot may be answered with TRYAGAIN',
});
