import { hasSlot, SLOTS, type SlotRange } from '../slots.ts';
import { count } from '../words.ts';

/** A slot that a node has open: half way to another node, or from it. */
export interface OpenSlot {
  readonly slot: number;
  readonly state: 'migrating' | 'importing';
  /** Node id of the other side. */
  readonly peer: string;
}

/** `[5461->-<id>]` and `[5461-<-<id>]`, as CLUSTER NODES shows them on a node's own line. */
export function parseOpenSlot(text: string): OpenSlot | undefined {
  const [, digits = '', arrow, peer] = /^\[(\d{1,5})-([<>])-([0-9a-f]{40})\]$/.exec(text) ?? [];
  const slot = Number(digits);
  return peer === undefined || slot >= SLOTS ? undefined : { slot, state: arrow === '>' ? 'migrating' : 'importing', peer };
}

/** What one primary says of itself. */
export interface PrimarySlots {
  readonly nodeId: string;
  /** Of its own line. */
  readonly slots: readonly SlotRange[];
  readonly open: readonly OpenSlot[];
  /** Keys by slot, for every slot that is open anywhere. One that is missing was not counted: it may have any number. */
  readonly keys: Readonly<Record<number, number>>;
}

export type Closing =
  /** The owner is the source: move the rest of its keys, then hand over. */
  | { readonly slot: number; readonly how: 'finish'; readonly from: string; readonly to: string }
  /** The owner is clear, and nobody else has keys: tell everyone, clear the marks. */
  | { readonly slot: number; readonly how: 'settle'; readonly owner: string }
  /** Only a person can decide. */
  | { readonly slot: number; readonly how: 'person'; readonly why: string };

/** Nobody serves the slot: it is its shard's, whose primary does not know. */
export interface Adoption {
  readonly slot: number;
  readonly how: 'adopt';
  readonly owner: string;
}

/** One primary's part in one slot. */
interface Side {
  readonly nodeId: string;
  readonly owns: boolean;
  readonly migratingTo: string | undefined;
  readonly importingFrom: string | undefined;
  readonly keys: number | undefined;
}

/**
 * What to do about each slot that any primary has open, ascending. No decision but a person's puts a key at risk: a slot is handed over
 * only when no node besides its source and its destination may have keys of it, and settled only when none besides its owner may.
 * @param primaries every primary of the cluster. With one left out, its keys are not seen.
 */
export function decideOpenSlots(primaries: readonly PrimarySlots[]): readonly Closing[] {
  const peers = (open: readonly OpenSlot[], state: OpenSlot['state']) =>
    new Map(open.filter((one) => one.state === state).map(({ slot, peer }) => [slot, peer]));
  const known = primaries.map((primary) => ({
    ...primary,
    migrating: peers(primary.open, 'migrating'),
    importing: peers(primary.open, 'importing'),
  }));
  const slots = new Set(primaries.flatMap(({ open }) => open.map(({ slot }) => slot)));
  return [...slots]
    .sort((a, b) => a - b)
    .map((slot) =>
      decide(
        slot,
        known.map((primary) => ({
          nodeId: primary.nodeId,
          owns: hasSlot(primary.slots, slot),
          migratingTo: primary.migrating.get(slot),
          importingFrom: primary.importing.get(slot),
          keys: primary.keys[slot],
        })),
      ),
    );
}

function decide(slot: number, sides: readonly Side[]): Closing {
  const [owner, ...rivals] = sides.filter(({ owns }) => owns);
  const mayLose = (...safe: readonly (Side | undefined)[]) => sides.some((side) => !safe.includes(side) && side.keys !== 0);
  if (owner === undefined) {
    const next = `give the slot to the node that shall have it: CLUSTER ADDSLOTS ${slot}`;
    return forPerson(slot, 'no primary owns it', sides, next);
  }
  if (rivals.length > 0) {
    const heir = rivals.length === 1 ? heirOf([owner, ...rivals]) : undefined;
    if (heir !== undefined && !mayLose(heir)) return { slot, how: 'settle', owner: heir.nodeId };
    const next = `move the keys to the node that shall have the slot before you tell it to all: CLUSTER SETSLOT ${slot} NODE <id>`;
    return forPerson(slot, `${count(rivals.length + 1, 'node')} claim it`, sides, next);
  }
  const destination = destinationOf(owner, sides);
  if (!mayLose(owner, destination))
    return destination === undefined
      ? { slot, how: 'settle', owner: owner.nodeId }
      : { slot, how: 'finish', from: owner.nodeId, to: destination.nodeId };
  const what =
    destination === undefined
      ? 'it has an owner, no agreed destination, and other nodes may have keys of it'
      : 'nodes that are neither its owner nor its destination may have keys of it';
  return forPerson(slot, what, sides, "decide which of the keys count, and take the others away from the nodes that don't own the slot");
}

/**
 * Of two claimants the one that the other hands the slot over to: the driver died after it had told the destination and before the source.
 * The source answers ASK for keys that it does not have, so one that is empty has stayed empty.
 */
const heirOf = (claimants: readonly Side[]): Side | undefined =>
  claimants.find(
    (side) => side.migratingTo === undefined && claimants.some((other) => other !== side && other.migratingTo === side.nodeId),
  );

/** Where the slot goes: the primary that its owner names, or else the only one importing it; when the two don't contradict one another. */
function destinationOf(owner: Side, sides: readonly Side[]): Side | undefined {
  const importers = sides.filter((side) => side !== owner && side.importingFrom !== undefined);
  const named = sides.find(({ nodeId }) => nodeId === owner.migratingTo);
  const only = owner.migratingTo === undefined && importers.length === 1 ? importers[0] : undefined;
  const destination = named ?? only;
  const agreed = (destination?.importingFrom ?? owner.nodeId) === owner.nodeId;
  return destination !== owner && agreed ? destination : undefined;
}

function forPerson(slot: number, what: string, sides: readonly Side[], next: string): Closing {
  const involved = sides.filter(
    (side) => side.owns || side.migratingTo !== undefined || side.importingFrom !== undefined || side.keys !== 0,
  );
  const told = involved.map((side) => {
    const facts = [
      ...(side.owns ? ['owns it'] : []),
      ...(side.migratingTo === undefined ? [] : [`migrating to ${nameOf(side.migratingTo, sides)}`]),
      ...(side.importingFrom === undefined ? [] : [`importing from ${nameOf(side.importingFrom, sides)}`]),
      side.keys === undefined ? 'keys not counted' : count(side.keys, 'key'),
    ];
    return `${side.nodeId} (${facts.join(', ')})`;
  });
  const why = `${what}: ${told.join('; ')}. Look at the keys on each with CLUSTER GETKEYSINSLOT ${slot} 100, then ${next}`;
  return { slot, how: 'person', why };
}

const nameOf = (nodeId: string, sides: readonly Side[]): string =>
  sides.some((side) => side.nodeId === nodeId) ? nodeId : `${nodeId}, which is no primary`;
