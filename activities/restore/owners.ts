import type { ClusterSpec } from '../../config/cluster-spec.ts';
import type { Observation } from '../../model/observation.ts';
import { SLOTS } from '../../model/slots.ts';
import { sentinelPrimary } from '../../model/topology.ts';

/** Where the keys of a cluster belong. */
export interface Owners {
  /** Of the primaries. */
  readonly addresses: readonly string[];
  /** The index of its owner's address for each slot; empty where one node has all. */
  readonly bySlot: Uint16Array;
}

export function ownersOf(spec: ClusterSpec, subnet: string, seen: Observation): Owners {
  if (spec.mode === 'sentinel') return { addresses: [sentinelPrimary(spec, subnet, seen)], bySlot: new Uint16Array() };
  const primaries = (seen.views[0]?.members ?? []).filter(({ slots }) => slots.length > 0);
  const bySlot = new Uint16Array(SLOTS);
  for (const [index, { slots }] of primaries.entries()) for (const [from, to] of slots) bySlot.fill(index, from, to + 1);
  return { addresses: primaries.map(({ address }) => address), bySlot };
}
