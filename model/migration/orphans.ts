import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { placesById } from '../layout.ts';
import type { Observation } from '../observation.ts';
import { slotsOf } from './moves.ts';
import { shardsNow } from './shards-now.ts';

/** Slots that the primary of a shard does not take for its own, although nobody else can have them. */
export interface Orphans {
  readonly shard: number;
  /** The failed primary whose slots they were; missing when all others say that they are the present one's. */
  readonly failedId?: string;
  readonly slots: readonly number[];
}

/**
 * A replica takes over the slots that it knows its primary to have. One that was promoted before it had heard of the last ones leaves them with the
 * failed node, and nobody serves them until that one comes back, as a second primary of the shard. And a primary may lose slots that it was given
 * when one comes back that claims them by an older word (seen on Redis 7.0: it then takes them for nobody's, and everybody else for its own).
 */
export function orphans(spec: ClusterSpec, clusterId: string, observation: Observation): readonly Orphans[] {
  const [view] = observation.views;
  const primaries = new Map(shardsNow(spec, clusterId, observation).map(({ shard, primary }) => [shard, primary]));
  const places = placesById(spec, clusterId);
  return (view?.members ?? []).flatMap(({ nodeId, role, flags, slots }): readonly Orphans[] => {
    const shard = places.get(nodeId)?.shard;
    const primary = shard === undefined ? undefined : primaries.get(shard);
    if (shard === undefined || primary === undefined || role !== 'primary' || slots.length === 0) return [];
    if (primary.nodeId !== nodeId) return flags.includes('fail') ? [{ shard, failedId: nodeId, slots: slotsOf(slots) }] : [];
    const own = observation.views.find(({ seenBy }) => seenBy.includes(primary.name));
    if (own === undefined || own === view) return [];
    const owned = new Set(own.members.flatMap((member) => slotsOf(member.slots)));
    const disowned = slotsOf(slots).filter((slot) => !owned.has(slot));
    return disowned.length === 0 ? [] : [{ shard, slots: disowned }];
  });
}
