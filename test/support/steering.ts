import { keyOfSlot } from '../../activities/migration/ledger.ts';
import { asOperator } from '../../activities/redis/connection.ts';
import { parseClusterNodes } from '../../activities/redis/parse.ts';
import { ServerError } from '../../activities/redis/protocol.ts';
import { openWire, type Wire } from '../../activities/redis/wire.ts';
import { networkName, probeKey } from '../../config/names.ts';
import { formatRanges, slotsOf, toRanges } from '../../model/migration/moves.ts';
import { holdings } from './clusters.ts';
import type { Stack } from './stack.ts';

export interface Subject {
  readonly stack: Stack;
  readonly cluster: string;
}

/** Asks every node that runs, each over a connection of its own. */
export async function onEachNode<T>({ stack, cluster }: Subject, work: (wire: Wire, node: string) => Promise<T>): Promise<readonly T[]> {
  const { docker, secrets } = stack.dependencies;
  const [{ containers }, held] = await Promise.all([holdings(docker, cluster), secrets.require(cluster)]);
  const all = await Promise.all(
    containers.map(async (name): Promise<readonly T[]> => {
      const { State, NetworkSettings } = await docker.getContainer(name).inspect();
      if (!State.Running) return [];
      const address = NetworkSettings.Networks[networkName(cluster)]?.IPAddress ?? '';
      const wire = await openWire(asOperator(held, true, { kind: 'data', address }));
      try {
        return [await work(wire, name)];
      } finally {
        wire.close();
      }
    }),
  );
  return all.flat();
}

/** Whose slots are whose, by each node's own word. */
export interface SlotsNow {
  /** Slots of each node that runs. */
  readonly of: ReadonlyMap<string, readonly number[]>;
  /** Marks of open slots as CLUSTER NODES shows them, with the node that has them: `demo-0-0 [42->-id]`. */
  readonly open: readonly string[];
  /** Slots that no node has, or more than one. */
  readonly wrong: string;
}

export async function slotsNow(subject: Subject): Promise<SlotsNow> {
  const said = await onEachNode(subject, async (wire, node) => {
    const myself = parseClusterNodes(String(await wire.one('CLUSTER', 'NODES'))).find((member) => member.myself);
    return { node, slots: slotsOf(myself?.slots ?? []), open: (myself?.openSlots ?? []).map((mark) => `${node} ${mark}`) };
  });
  const owners = new Array<number>(16_384).fill(0);
  for (const slot of said.flatMap(({ slots }) => slots)) owners[slot] = (owners[slot] ?? 0) + 1;
  return {
    of: new Map(said.map(({ node, slots }) => [node, slots])),
    open: said.flatMap(({ open }) => open),
    wrong: formatRanges(toRanges(owners.flatMap((count, slot) => (count === 1 ? [] : [slot])))),
  };
}

/** A key of a slot. */
export const keyIn = (slot: number, number: number | string): string => `${/\{.+\}/.exec(keyOfSlot(slot))?.[0]}:${number}`;

const contentOf = (slot: number, number: number): string => `value ${slot}.${number}`;
const SLOTS_AT_ONCE = 256;

/** Asks the owner of each slot, some hundreds of slots at a time. @throws what a server refuses */
async function atOwners<T>(
  subject: Subject,
  slots: readonly number[],
  command: (slot: number) => readonly (string | number)[],
  take: (reply: unknown, slot: number) => T,
): Promise<readonly T[]> {
  const wanted = new Set(slots);
  const all = await onEachNode(subject, async (wire) => {
    const myself = parseClusterNodes(String(await wire.one('CLUSTER', 'NODES'))).find((member) => member.myself);
    const own = slotsOf(myself?.slots ?? []).filter((slot) => wanted.has(slot));
    const taken: T[] = [];
    for (let at = 0; at < own.length; at += SLOTS_AT_ONCE) {
      const some = own.slice(at, at + SLOTS_AT_ONCE);
      for (const [index, reply] of (await wire.ask(some.map(command), 30_000)).entries()) {
        if (reply instanceof ServerError) throw reply;
        taken.push(take(reply, some[index] ?? -1));
      }
    }
    return taken;
  });
  return all.flat();
}

const numbers = (count: number) => Array.from({ length: count }, (_, number) => number);

/** So many small keys into each slot. */
export async function fillSlots(subject: Subject, slots: readonly number[], keysASlot: number): Promise<void> {
  await atOwners(
    subject,
    slots,
    (slot) => ['MSET', ...numbers(keysASlot).flatMap((number) => [keyIn(slot, number), contentOf(slot, number)])],
    () => undefined,
  );
}

/** Slots in which `fillSlots` has put keys that are not there any more, or are changed. */
export async function slotsWithChanges(subject: Subject, slots: readonly number[], keysASlot: number): Promise<string> {
  const wrong = await atOwners(
    subject,
    slots,
    (slot) => ['MGET', ...numbers(keysASlot).map((number) => keyIn(slot, number))],
    (reply, slot) =>
      Array.isArray(reply) && numbers(keysASlot).every((number) => String(reply[number]) === contentOf(slot, number)) ? [] : [slot],
  );
  const looked = wrong.length;
  if (looked !== slots.length) throw new Error(`${slots.length} slots have keys, and ${looked} were looked at`);
  return formatRanges(toRanges(wrong.flat()));
}

/** Keys of each node that runs, without those of the probe. */
export async function keysNow(subject: Subject): Promise<ReadonlyMap<string, number>> {
  return new Map(
    await onEachNode(subject, async (wire, node) => {
      const [all, probes] = await wire.ask([['DBSIZE'], ['KEYS', probeKey('*')]]);
      return [node, Number(all) - (Array.isArray(probes) ? probes.length : 0)] as const;
    }),
  );
}

/** Keys of the probe on each node that runs. */
export async function probeKeysNow(subject: Subject): Promise<readonly string[]> {
  const found = await onEachNode(subject, async (wire, node) => {
    const keys = await wire.one('KEYS', probeKey('*'));
    return Array.isArray(keys) ? keys.map((key) => `${node} ${String(key)}`) : [];
  });
  return found.flat();
}

export const sum = (values: Iterable<number>): number => [...values].reduce((total, one) => total + one, 0);
