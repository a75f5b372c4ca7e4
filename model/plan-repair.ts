import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Plan } from '../config/progress.ts';
import { nodeIdOf, placesOf } from './layout.ts';
import { formatRanges, toRanges } from './migration/moves.ts';
import type { Closing } from './migration/open-slots.ts';
import { count } from './words.ts';

export const repairStep = 'close open slots';

/** What it takes to close slots that were left open. What a person must decide is told, and all else is closed all the same. */
export function planRepair(spec: ClusterSpec, clusterId: string, closings: readonly Closing[]): Plan {
  const names = new Map(placesOf(spec).map((place) => [nodeIdOf(clusterId, place.name), place.name]));
  const name = (nodeId: string) => names.get(nodeId) ?? nodeId.slice(0, 8);
  const groups = new Map<string, number[]>();
  for (const closing of closings) {
    const what =
      closing.how === 'finish'
        ? `move what is left from ${name(closing.from)} to ${name(closing.to)}`
        : closing.how === 'settle'
          ? `leave with ${name(closing.owner)}, take marks off`
          : `left open, for a person: ${closing.why}`;
    groups.set(what, [...(groups.get(what) ?? []), closing.slot]);
  }
  const persons = closings.filter(({ how }) => how === 'person').length;
  const change = [...groups].map(([what, slots]) => `${formatRanges(toRanges(slots))}: ${what}`).join('; ');
  return {
    summary:
      closings.length === 0
        ? `${spec.name} has no open slot`
        : `${spec.name}: ${count(closings.length, 'open slot')}${persons > 0 ? `, ${persons} of them for a person to decide` : ''}`,
    steps: closings.length === 0 ? [] : [{ name: repairStep, change }],
    refusals: spec.mode === 'sentinel' ? [noSlots(spec)] : [],
  };
}

export const noSlots = (spec: ClusterSpec): string =>
  `${spec.name} is in sentinel mode: one primary has all the data, and there are no slots to move`;
