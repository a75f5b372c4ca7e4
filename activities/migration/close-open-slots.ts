import { failures } from '../../config/failures.ts';
import { type Adoption, type Closing, decideOpenSlots, type PrimarySlots, parseOpenSlot } from '../../model/migration/open-slots.ts';
import { orphans } from '../../model/migration/orphans.ts';
import { parseClusterNodes } from '../redis/parse.ts';
import { fatal } from '../support/failure.ts';
import type { ClusterRef } from './cluster-now.ts';
import type { Crew } from './crew.ts';
import { admitsWithin, NoRoom } from './key-room.ts';
import { HANDED_OVER_AT_ONCE, moveGroup, type Throttle } from './move-group.ts';
import type { ConnectedNode, SlotNode } from './slot-node.ts';
import { keeping, type Unconfirmed, type Way } from './unconfirmed.ts';

/** What was open, and what became of it. */
export interface ClosedSlots {
  /** Handed over to the other side, with the keys that were left. */
  readonly finished: readonly number[];
  /** The owner was clear: marks taken off. */
  readonly settled: readonly number[];
  /** Left open: a person must decide. */
  readonly persons: readonly { readonly slot: number; readonly why: string }[];
}

/** Slots open at one moment, with what to do about each. Asked of every primary itself; nothing is changed. */
export async function findOpenSlots(crew: Crew): Promise<readonly Closing[]> {
  const lines = await Promise.all(
    crew.primaries().map(async (node) => {
      const myself = parseClusterNodes(String(await node.wire.one('CLUSTER', 'NODES'))).find((member) => member.myself);
      // A mark names the node that was primary when it was set; its shard may have failed over since.
      const open = (myself?.openSlots ?? [])
        .map(parseOpenSlot)
        .filter((one) => one !== undefined)
        .map((one) => ({ ...one, peer: crew.leaderOf(one.peer) }));
      return { node, open, slots: myself?.slots ?? [] };
    }),
  );
  const slots = [...new Set(lines.flatMap(({ open }) => open.map(({ slot }) => slot)))];
  if (slots.length === 0) return [];
  const primaries: readonly PrimarySlots[] = await Promise.all(
    lines.map(async ({ node, open, slots: own }) => {
      const counts = await node.count(slots);
      return { nodeId: node.nodeId, slots: own, open, keys: Object.fromEntries(slots.map((slot, index) => [slot, counts[index] ?? 0])) };
    }),
  );
  return decideOpenSlots(primaries);
}

/** Slots that nobody serves, and whose they are: a crew that mends gives them to these. */
export function unservedSlots(crew: Crew, { spec, clusterId }: ClusterRef): readonly Adoption[] {
  return orphans(spec, clusterId, crew.now().observation).flatMap(({ shard, slots }): readonly Adoption[] => {
    const { nodeId } = crew.primary(shard);
    return slots.map((slot) => ({ slot, how: 'adopt', owner: nodeId }));
  });
}

/**
 * Closes slots that anybody left open, forward: keys that are left follow the others. One with a key that would have a server killed stays open,
 * for a person. Safe to repeat.
 * @param unconfirmed keeps the keys that move, where a replica could take over
 */
export async function closeOpenSlots(crew: Crew, slotsAtOnce: number, throttle: Throttle, unconfirmed?: Unconfirmed): Promise<ClosedSlots> {
  const closings = await findOpenSlots(crew);
  const nodes = new Map(crew.primaries().map((node) => [node.nodeId, node]));
  const pairs = new Map<string, { readonly source: ConnectedNode; readonly destination: ConnectedNode; readonly slots: number[] }>();
  const finished: number[] = [];
  const settled: number[] = [];
  const stuck: { readonly slot: number; readonly why: string }[] = [];
  for (const closing of closings) {
    if (closing.how !== 'finish') continue;
    const [source, destination] = [nodes.get(closing.from), nodes.get(closing.to)];
    if (source === undefined || destination === undefined) continue;
    const key = `${closing.from} ${closing.to}`;
    const pair = pairs.get(key) ?? { source, destination, slots: [] };
    pair.slots.push(closing.slot);
    pairs.set(key, pair);
  }
  // One pair after the other: what somebody else began may well have a node on both sides.
  for (const { source, destination, slots } of pairs.values()) {
    const others = crew.primaries().filter((node) => node !== source && node !== destination);
    const way = wayBetween(crew, source, destination);
    const admitted = { ...throttle, admit: admitsWithin(crew, source, destination) };
    const within = way === undefined ? admitted : keeping(unconfirmed, way, admitted);
    for (let at = 0; at < slots.length; at += slotsAtOnce) {
      let group = slots.slice(at, at + slotsAtOnce);
      while (group.length > 0) {
        try {
          await moveGroup({ source, destination, others, slots: group, careful: new Set(group) }, within);
          if (way !== undefined) unconfirmed?.handedOver(way);
          break;
        } catch (error) {
          if (!(error instanceof NoRoom)) throw error;
          stuck.push({ slot: error.slot, why: error.message });
          group = group.filter((slot) => slot !== error.slot);
        }
      }
      // Whoever marked them on a third node is not told by the hand-over.
      await Promise.all(others.map((other) => other.stable(group)));
      finished.push(...group);
    }
  }
  const owners = new Map<SlotNode, number[]>();
  for (const closing of closings) {
    const owner = closing.how === 'settle' ? nodes.get(closing.owner) : undefined;
    if (owner === undefined) continue;
    owners.set(owner, [...(owners.get(owner) ?? []), closing.slot]);
    settled.push(closing.slot);
  }
  for (const [owner, all] of owners) {
    for (let at = 0; at < all.length; at += HANDED_OVER_AT_ONCE) {
      const slots = all.slice(at, at + HANDED_OVER_AT_ONCE);
      await owner.claim(slots);
      await owner.stable(slots);
      for (const other of crew.primaries().filter((node) => node !== owner)) {
        await other.assign(slots, owner.nodeId, 'lenient');
        await other.stable(slots);
      }
    }
  }
  const persons = closings.flatMap((closing) => (closing.how === 'person' ? [{ slot: closing.slot, why: closing.why }] : []));
  return { finished, settled, persons: [...persons, ...stuck] };
}

/** Undefined when one of them has no place in the spec: nobody would know where to put keys back. */
function wayBetween(crew: Crew, source: SlotNode, destination: SlotNode): Way | undefined {
  const [from, to] = [crew.shardOf(source.nodeId), crew.shardOf(destination.nodeId)];
  return from === undefined || to === undefined ? undefined : { from, sourceId: source.nodeId, to, destinationId: destination.nodeId };
}

/** @throws SlotConflict with each slot that only a person can decide on */
export function refuseConflicts(cluster: string, { persons }: ClosedSlots): void {
  if (persons.length === 0) return;
  const told = persons.slice(0, 10).map(({ slot, why }) => `slot ${slot}: ${why}`);
  const more = persons.length > told.length ? [`and ${persons.length - told.length} more`] : [];
  throw fatal(
    failures.slotConflict,
    `only a person can decide about ${persons.length} of ${cluster}'s open slots; everything else is closed:\n${[...told, ...more].join('\n')}`,
    persons.slice(0, 100),
  );
}
