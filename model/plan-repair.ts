import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Plan } from '../config/progress.ts';
import { type NodePlace, placesById } from './layout.ts';
import { formatRanges, type SlotMove, toRanges } from './migration/moves.ts';
import type { Adoption, Closing } from './migration/open-slots.ts';
import { plannedMoves } from './migration/planned-moves.ts';
import type { SlotSurvey } from './migration/survey.ts';
import { SLOTS } from './slots.ts';
import { count } from './words.ts';

export const repairStep = 'close open slots';

const MOST_TOLD = 10;

/**
 * What it takes to close slots that were left open. What a person must decide is told, and all else is closed all the same.
 * @param survey for how much is left to move; missing where nothing is
 */
export function planRepair(spec: ClusterSpec, clusterId: string, closings: readonly (Closing | Adoption)[], survey?: SlotSurvey): Plan {
  const places = placesById(spec, clusterId);
  const name = (nodeId: string) => places.get(nodeId)?.name ?? nodeId.slice(0, 8);
  const groups = new Map<string, number[]>();
  for (const closing of closings) {
    const what =
      closing.how === 'finish'
        ? `move what is left from ${name(closing.from)} to ${name(closing.to)}`
        : closing.how === 'settle'
          ? `leave with ${name(closing.owner)}, take marks off`
          : closing.how === 'adopt'
            ? `give to ${name(closing.owner)}, since nobody serves them`
            : 'left open, for a person to decide';
    groups.set(what, [...(groups.get(what) ?? []), closing.slot]);
  }
  // The reasons count keys, which are written all the time: in a step they would change the plan's digest.
  const persons = closings.flatMap((closing) => (closing.how === 'person' ? [`slot ${closing.slot}: ${closing.why}`] : []));
  const told = persons.length > MOST_TOLD ? [...persons.slice(0, MOST_TOLD), `and ${persons.length - MOST_TOLD} more`] : persons;
  const change = [...groups].map(([what, slots]) => `${formatRanges(toRanges(slots))}: ${what}`).join('; ');
  const moves = survey === undefined ? [] : whatIsLeft(places, closings.filter(handsOver), survey);
  return {
    summary:
      closings.length === 0
        ? `${spec.name} has no open slot`
        : [
            `${spec.name}: ${count(closings.length, 'open slot')}${told.length > 0 ? `, ${persons.length} of them for a person to decide` : ''}`,
            ...told,
          ].join('\n'),
    steps: closings.length === 0 ? [] : [{ name: repairStep, change }],
    refusals: spec.mode === 'sentinel' ? [noSlots(spec)] : [],
    ...(moves.length === 0 ? {} : { moves }),
  };
}

type HandOver = Extract<Closing, { how: 'finish' }>;

/** Slots that are handed over with the keys that are left in them. */
export const handsOver = (closing: Closing | Adoption): closing is HandOver => closing.how === 'finish';

function whatIsLeft(places: ReadonlyMap<string, NodePlace>, closings: readonly HandOver[], survey: SlotSurvey) {
  const owners = new Array<number>(SLOTS).fill(-1);
  const pairs = Map.groupBy(closings, ({ from, to }) => `${from} ${to}`);
  const moves = [...pairs.values()].flatMap((all): readonly SlotMove[] => {
    const [from, to] = [places.get(all[0]?.from ?? '')?.shard, places.get(all[0]?.to ?? '')?.shard];
    if (from === undefined || to === undefined) return [];
    const slots = all.map(({ slot }) => slot);
    for (const slot of slots) owners[slot] = from;
    return [{ from, to, slots: toRanges(slots) }];
  });
  return plannedMoves(moves, survey, owners);
}

export const noSlots = (spec: ClusterSpec): string =>
  `${spec.name} is in sentinel mode: one primary has all the data, and there are no slots to move`;
