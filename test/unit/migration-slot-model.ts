import type { Crew } from '../../activities/migration/crew.ts';
import type { ConnectedNode, KeyBatch, SlotNode } from '../../activities/migration/slot-node.ts';
import { ServerError } from '../../activities/redis/protocol.ts';
import { toRanges } from '../../model/migration/moves.ts';
import { formatRange } from '../../model/slots.ts';

/** What one server knows and holds. Each has its own view; nothing but commands and gossip changes it. */
interface Server {
  readonly id: string;
  readonly address: string;
  epoch: number;
  /** Who owns each slot, as this server sees it. */
  readonly owners: string[];
  readonly migrating: Map<number, string>;
  readonly importing: Map<number, string>;
  /** By key; values are numbers, in the order in which clients wrote them. */
  readonly data: Map<string, number>;
}

/** What may happen between two commands of a driver. */
export type Meanwhile = (step: number) => void;

export interface SlotModel {
  readonly ids: readonly string[];
  readonly slots: number;
  readonly servers: readonly Server[];
  /** Newest acknowledged value of every key. */
  readonly acknowledged: ReadonlyMap<string, number>;
  /** A client with a stale idea of who owns what, which follows redirections. False when nobody took the write: it is not acknowledged. */
  write(key: string, first: number): boolean;
  /** As `write`. @returns null for no value, undefined when nobody answered */
  read(key: string, first: number): number | null | undefined;
  /** One server tells another which slots it owns. */
  gossip(from: number, to: number): void;
  /** Until nobody learns anything new. */
  gossipToAll(): void;
  /** Connections of one driver. */
  connect(driver: Driver): readonly ConnectedNode[];
}

/** How a driver ends in the middle: before its last command, after it without the answer, or with a MIGRATE that timed out in between. */
export type Death = 'before' | 'after' | 'half';

/** A process that moves slots, and the command at which it dies. */
export interface Driver {
  readonly dies?: { readonly at: number; readonly how: Death };
  readonly meanwhile: Meanwhile;
  steps: number;
}

/** The driver is dead, or the answer to its last command is lost. */
export class Died extends Error {}

/** The number of a key's slot is in its name: `7:a`. */
export const slotOfKey = (key: string): number => Number(key.split(':', 1)[0]);

/** 40 hex digits, as servers have them. */
const idOf = (index: number): string => String.fromCharCode(97 + index).repeat(40);

const HOPS = 6;

/**
 * A cluster's slots, marks and keys with the rules of real servers (cluster.c of Redis 7 and Valkey 8: `clusterCommand`, `getNodeByQuery`,
 * `clusterUpdateSlotsConfigWith`, `clusterBumpConfigEpochWithoutConsensus`). The loss hazard is in it: a server that hears that somebody with a
 * higher epoch owns one of its slots gives the slot up, and throws away the keys that it has of it.
 * @param owners the server of each slot
 */
export function createSlotModel(servers: number, owners: readonly number[], keys: readonly string[]): SlotModel {
  const ids = Array.from({ length: servers }, (_, index) => idOf(index));
  const all: readonly Server[] = ids.map((id, index) => ({
    id,
    address: `10.0.0.${index + 1}`,
    epoch: index + 1,
    owners: owners.map((owner) => idOf(owner)),
    migrating: new Map(),
    importing: new Map(),
    data: new Map(),
  }));
  const acknowledged = new Map<string, number>();
  let lastValue = 0;
  const serverOf = (id: string): Server => {
    const found = all.find((server) => server.id === id);
    if (found === undefined) throw new Error(`there is no server ${id}`);
    return found;
  };
  const keysOf = (server: Server, slot: number): readonly string[] => [...server.data.keys()].filter((key) => slotOfKey(key) === slot);

  for (const key of keys) {
    lastValue++;
    serverOf(idOf(owners[slotOfKey(key)] ?? 0)).data.set(key, lastValue);
    acknowledged.set(key, lastValue);
  }

  /** Asks servers, beginning at any, until one serves the key; as clients do with MOVED and ASK. */
  const serve = (key: string, first: number): Server | undefined => {
    const slot = slotOfKey(key);
    let at = all[first % all.length];
    let asking = false;
    for (let hop = 0; hop < HOPS && at !== undefined; hop++) {
      const owner = at.owners[slot];
      const target = at.migrating.get(slot);
      if (owner === at.id) {
        if (target === undefined || at.data.has(key)) return at;
        [at, asking] = [serverOf(target), true];
      } else if (asking && at.importing.has(slot)) return at;
      else [at, asking] = [owner === undefined ? undefined : serverOf(owner), false];
    }
    return undefined;
  };

  const hear = (to: Server, from: Server): boolean => {
    let learned = false;
    for (const [slot, owner] of from.owners.entries()) {
      if (owner !== from.id || to.owners[slot] === from.id || to.importing.has(slot)) continue;
      const known = to.owners[slot];
      // An epoch is known to all at once, since servers broadcast it when it changes; what slots it is about comes with the gossip.
      if (known !== undefined && serverOf(known).epoch >= from.epoch) continue;
      if (known === to.id) for (const key of keysOf(to, slot)) to.data.delete(key);
      to.owners[slot] = from.id;
      learned = true;
    }
    return learned;
  };

  const moved = (slot: number, server: Server) =>
    new ServerError(`MOVED ${slot} ${serverOf(server.owners[slot] ?? server.id).address}:6379`);

  const bump = (server: Server): void => {
    const highest = Math.max(...all.map(({ epoch }) => epoch));
    if (server.epoch < highest || all.some((other) => other !== server && other.epoch === highest)) server.epoch = highest + 1;
  };

  const setSlot = {
    importing(server: Server, slot: number, source: string): void {
      if (server.owners[slot] === server.id) throw new ServerError(`ERR I'm already the owner of hash slot ${slot}`);
      server.importing.set(slot, source);
    },
    migrating(server: Server, slot: number, destination: string): void {
      if (server.owners[slot] !== server.id) throw new ServerError(`ERR I'm not the owner of hash slot ${slot}`);
      server.migrating.set(slot, destination);
    },
    node(server: Server, slot: number, owner: string): void {
      const own = keysOf(server, slot);
      if (server.owners[slot] === server.id && owner !== server.id && own.length > 0)
        throw new ServerError(`ERR Can't assign hashslot ${slot} to a different node while I still hold keys for this hash slot.`);
      if (own.length === 0) server.migrating.delete(slot);
      server.owners[slot] = owner;
      if (owner !== server.id || !server.importing.has(slot)) return;
      bump(server);
      server.importing.delete(slot);
    },
    /** BUMPEPOCH and SETSLOT NODE for each, in one step: its word is newer than that of all others. */
    claim(server: Server, slots: readonly number[]): void {
      bump(server);
      for (const slot of slots) {
        server.importing.delete(slot);
        setSlot.node(server, slot, server.id);
      }
    },
    stable(server: Server, slot: number): void {
      server.importing.delete(slot);
      server.migrating.delete(slot);
    },
  };

  /** @param half so many keys arrive but are not deleted at the source, which does not hear of it in time */
  const migrate = (source: Server, destination: Server, names: readonly string[], half: number): void => {
    for (const [index, key] of names.filter((name) => source.data.has(name)).entries()) {
      const slot = slotOfKey(key);
      if (source.owners[slot] !== source.id && !source.migrating.has(slot) && !source.importing.has(slot)) throw moved(slot, source);
      if (destination.owners[slot] !== destination.id && !destination.importing.has(slot))
        throw new ServerError(`ERR Target instance replied with error: ${moved(slot, destination).message}`);
      destination.data.set(key, source.data.get(key) ?? 0);
      if (half === 0 || index % 2 === 1) source.data.delete(key);
    }
  };

  const connectTo = (server: Server, driver: Driver): ConnectedNode => {
    /** Every command of every driver goes through here: something else may happen first, and the driver may die. */
    const command = async <T>(act: (half: boolean) => T): Promise<T> => {
      driver.steps++;
      const step = driver.steps;
      driver.meanwhile(step);
      const { dies } = driver;
      if (dies !== undefined && (step > dies.at || (step === dies.at && dies.how === 'before'))) throw new Died();
      const result = act(dies?.at === step && dies.how === 'half');
      await Promise.resolve(); // others come in between
      if (dies !== undefined && step >= dies.at) throw new Died();
      return result;
    };
    /** A pipeline: all go out, the first error is thrown. */
    const each = async (slots: readonly number[], act: (slot: number) => void, fine?: RegExp): Promise<void> => {
      let problem: unknown;
      for (const slot of slots) {
        try {
          await command(() => act(slot));
        } catch (error) {
          if (error instanceof Died) throw error;
          if (fine?.test(String(error)) !== true) problem ??= error;
        }
      }
      if (problem !== undefined) throw problem;
    };
    const so = /already the owner|not the owner/;
    const count = async (slots: readonly number[]) => {
      const counts: number[] = [];
      for (const slot of slots) counts.push(await command(() => keysOf(server, slot).length));
      return counts;
    };
    return {
      nodeId: server.id,
      address: server.address,
      count,
      countAsPrimary: count,
      async keys(wanted) {
        const lists: KeyBatch[] = [];
        for (const { slot, most } of wanted) lists.push(await command(() => new Names(keysOf(server, slot).slice(0, most))));
        return lists;
      },
      async migrate(lists, destination) {
        for (const list of lists) await command((half) => migrate(server, serverOf(destination.nodeId), namesOf(list), half ? 1 : 0));
        return 1;
      },
      importing: (slots, source) => each(slots, (slot) => setSlot.importing(server, slot, source), so),
      migrating: (slots, destination) => each(slots, (slot) => setSlot.migrating(server, slot, destination), so),
      split: (batch, bytes) =>
        command(() => {
          const size = Math.max(1, bytes);
          const names = namesOf(batch);
          return Array.from({ length: Math.ceil(names.length / size) }, (_, i) => new Names(names.slice(i * size, (i + 1) * size)));
        }),
      claim: (slots) => command(() => setSlot.claim(server, slots)),
      assign: (slots, owner) => each(slots, (slot) => setSlot.node(server, slot, owner)),
      stable: (slots) => each(slots, (slot) => setSlot.stable(server, slot)),
      wire: {
        one: (...words) => {
          if (words.join(' ') !== 'CLUSTER NODES') throw new Error(`the model does not know ${words.join(' ')}`);
          return command(() => clusterNodes(server));
        },
        ask: () => Promise.reject(new Error('not in the model')),
        askRaw: () => Promise.reject(new Error('not in the model')),
        alive: true,
        close: () => undefined,
      },
      writtenSinceItLed: async () => undefined,
      alive: true,
      close: () => undefined,
    };
  };

  const clusterNodes = (server: Server): string =>
    all
      .map(({ id, address, epoch }) => {
        const own = server.owners.flatMap((owner, slot) => (owner === id ? [slot] : []));
        const marks =
          id === server.id
            ? [
                ...[...server.migrating].map(([slot, peer]) => `[${slot}->-${peer}]`),
                ...[...server.importing].map(([slot, peer]) => `[${slot}-<-${peer}]`),
              ]
            : [];
        const flags = id === server.id ? 'myself,master' : 'master';
        return [id, `${address}:6379@16379`, flags, '-', 0, 0, epoch, 'connected', ...toRanges(own).map(formatRange), ...marks].join(' ');
      })
      .join('\n');

  return {
    ids,
    slots: owners.length,
    servers: all,
    acknowledged,
    write(key, first) {
      const server = serve(key, first);
      if (server === undefined) return false;
      lastValue++;
      server.data.set(key, lastValue);
      acknowledged.set(key, lastValue);
      return true;
    },
    read(key, first) {
      const server = serve(key, first);
      return server === undefined ? undefined : (server.data.get(key) ?? null);
    },
    gossip(from, to) {
      const [teller, hearer] = [all[from % all.length], all[to % all.length]];
      if (teller !== undefined && hearer !== undefined && teller !== hearer) hear(hearer, teller);
    },
    gossipToAll() {
      while (all.flatMap((to) => all.map((from) => from !== to && hear(to, from))).some((learned) => learned));
    },
    connect: (driver) => all.map((server) => connectTo(server, driver)),
  };
}

/** Names of keys on their way. */
class Names implements KeyBatch {
  readonly names: readonly string[];
  constructor(names: readonly string[]) {
    this.names = names;
  }
  get count(): number {
    return this.names.length;
  }
}

const namesOf = (batch: KeyBatch): readonly string[] => {
  if (batch instanceof Names) return batch.names;
  throw new TypeError('keys of another node');
};

/** The model's servers as closing of open slots wants them. */
export const crewOf = (nodes: readonly ConnectedNode[]): Crew => ({
  round: 1,
  primary: () => Promise.reject(new Error('not in the model')) as never,
  primaries: () => nodes,
  slots: () => [],
  now: () => {
    throw new Error('not in the model');
  },
  addresses: () => new Set(),
  shardOf: () => undefined,
  leaderOf: (nodeId) => nodeId,
  refresh: () => Promise.resolve(),
  close: () => undefined,
});

/** What a server says of itself: slots that it owns. */
export const ownSlots = (model: SlotModel, index: number): ReadonlySet<number> => {
  const server = model.servers[index];
  return new Set((server?.owners ?? []).flatMap((owner, slot) => (owner === server?.id ? [slot] : [])));
};

/** Acknowledged writes that are gone: no server has the value, or a newer one. */
export const lostWrites = (model: SlotModel): readonly string[] =>
  [...model.acknowledged]
    .filter(([key, value]) => !model.servers.some(({ data }) => (data.get(key) ?? 0) >= value))
    .map(([key, value]) => `${key}=${value}`);

/** Everything that is not as it shall be when all slots have moved. */
export function amissAtTheEnd(model: SlotModel, planned: readonly number[]): readonly string[] {
  const { servers, ids } = model;
  return [
    ...lostWrites(model).map((write) => `lost ${write}`),
    ...planned.flatMap((owner, slot) => {
      const claims = servers.filter((server) => server.owners[slot] === server.id).map(({ id }) => id);
      return claims.length === 1 && claims[0] === ids[owner] ? [] : [`slot ${slot} is claimed by ${claims.map((id) => id[0])}`];
    }),
    ...servers.flatMap((server) => [
      ...[...server.migrating.keys()].map((slot) => `slot ${slot} is migrating at ${server.id[0]}`),
      ...[...server.importing.keys()].map((slot) => `slot ${slot} is importing at ${server.id[0]}`),
      ...[...server.data.keys()]
        .filter((key) => ids[planned[slotOfKey(key)] ?? -1] !== server.id)
        .map((key) => `${key} is at ${server.id[0]}, which does not own its slot`),
      ...server.owners.flatMap((owner, slot) => (owner === ids[planned[slot] ?? -1] ? [] : [`${server.id[0]} sees ${slot} elsewhere`])),
    ]),
  ];
}

/** The same server over another driver's connection is the same one. */
export const nodeAt = (nodes: readonly ConnectedNode[], shard: number): SlotNode => {
  const node = nodes[shard];
  if (node === undefined) throw new Error(`there is no shard ${shard}`);
  return node;
};
