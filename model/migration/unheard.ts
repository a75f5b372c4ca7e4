import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { answered, type Observation } from '../observation.ts';
import { slotsOf } from './moves.ts';
import { type NodeNow, shardsNow } from './shards-now.ts';

/** Slots of a present primary, and another one that takes them for nobody's or for a failed node's. */
export interface Unheard {
  readonly node: NodeNow;
  /** Node id of the primary whose slots they are. */
  readonly ownerId: string;
  readonly slots: readonly number[];
}

/**
 * A server that has a slot open to take it may hear no word about it but SETSLOT: when the source fails over, it holds the failed node for the slot's owner, and once that one is a replica, nobody. Then it serves
 * nothing any more, of no slot, until somebody tells it (seen on Redis 7.0).
 */
export function unheard(spec: ClusterSpec, clusterId: string, { nodes, views, ...rest }: Observation): readonly Unheard[] {
  const [most] = views;
  if (most === undefined) return [];
  const primaries = shardsNow(spec, clusterId, { ...rest, nodes, views }).flatMap(({ primary }) => primary ?? []);
  const down = new Set(nodes.filter(answered).flatMap(({ name, clusterState }) => (clusterState === 'fail' ? [name] : [])));
  return primaries.flatMap((node): readonly Unheard[] => {
    const own = views.find(({ seenBy }) => seenBy.includes(node.name));
    if (own === undefined || own === most) return [];
    const isDown = down.has(node.name);
    // One that serves others, as its settings may allow, is told of what it takes for nobody's.
    const held = own.members.filter(({ role, flags }) => !isDown || (role === 'primary' && !flags.includes('fail')));
    const served = new Set(held.flatMap(({ slots }) => slotsOf(slots)));
    return primaries.flatMap(({ nodeId: ownerId }): readonly Unheard[] => {
      const known = new Set(slotsOf(own.members.find(({ nodeId }) => nodeId === ownerId)?.slots ?? []));
      const all = slotsOf(most.members.find(({ nodeId }) => nodeId === ownerId)?.slots ?? []);
      const slots = all.filter((slot) => !served.has(slot) && !known.has(slot));
      return ownerId === node.nodeId || slots.length === 0 ? [] : [{ node, ownerId, slots }];
    });
  });
}
