import { ports, systemUsers } from '../../config/names.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { onlineReplicas, parseInfo } from '../redis/parse.ts';
import { encodeCommand, encodeText, listItems, RawList, type Reply, ServerError, type Word } from '../redis/protocol.ts';
import { openWire, type Wire } from '../redis/wire.ts';
import { copyHead, type KeyCopies } from './key-copies.ts';
import { writtenSinceItLed } from './written-since.ts';

/** Names of keys on their way; only their number is looked at. */
export interface KeyBatch {
  readonly count: number;
  /** Memory that they take, where it was asked for. */
  readonly bytes?: number;
}

/** Names of at most so many keys of a slot. */
export interface KeysWanted {
  readonly slot: number;
  readonly most: number;
}

/** What the mover asks of one primary. A test puts a model of a cluster in its place. */
export interface SlotNode {
  readonly nodeId: string;
  readonly address: string;
  /** Keys of each slot. */
  count(slots: readonly number[]): Promise<readonly number[]>;
  /** The same. @throws READONLY when the node is a replica by now */
  countAsPrimary(slots: readonly number[]): Promise<readonly number[]>;
  /** Names of keys, a list for each slot that was asked for. */
  keys(wanted: readonly KeysWanted[]): Promise<readonly KeyBatch[]>;
  /**
   * Sends keys to another primary and deletes them here, in one step of the server for each list. Those that are gone meanwhile are left out.
   * @param keep given copies of them, as they were right before
   * @returns milliseconds that the server took, with the way there and back
   */
  migrate(lists: readonly KeyBatch[], destination: SlotNode, timeoutMs: number, keep?: (copies: KeyCopies) => void): Promise<number>;
  /** Marks slots as coming from a source. One that this node owns already is left as it is. */
  importing(slots: readonly number[], sourceId: string): Promise<void>;
  /** Marks slots as leaving for a destination. One that is not this node's any more is left as it is. */
  migrating(slots: readonly number[], destinationId: string): Promise<void>;
  /** Measures the keys and parts them, so that no part is larger than so many bytes, but for single keys that are. */
  split(batch: KeyBatch, bytes: number): Promise<readonly KeyBatch[]>;
  /** This node owns the slots, and its word about them is newer than that of all others. They come from nobody any more. */
  claim(slots: readonly number[]): Promise<void>;
  /**
   * This node takes it that the slots belong to another. @throws when it still has keys of them
   * @param lenient it need not hear it: one that has become a replica learns it from its primary
   */
  assign(slots: readonly number[], ownerId: string, lenient?: 'lenient'): Promise<void>;
  /** Its replicas hear of a slot that it takes before it has taken it: Valkey from 8.0. Known once slots were opened on it. */
  readonly tellsReplicasFirst?: boolean;
  /** Takes marks off. */
  stable(slots: readonly number[]): Promise<void>;
}

/** A node that is asked over a connection of its own. */
export interface ConnectedNode extends SlotNode {
  readonly wire: Wire;
  /** Which of these names stand in what it has written since it was promoted in the place of one with that stream (`writtenSinceItLed`); undefined when it was not, or cannot tell. */
  writtenSinceItLed(names: ReadonlySet<string>, formerStream: string): Promise<ReadonlySet<string> | undefined>;
  /** None of its connections is broken. */
  readonly alive: boolean;
  close(): void;
}

/** Answers that mean that it is so already, or that the node is none to be told. */
const SO_ALREADY = /already the owner|not the owner/i;
const NONE_TO_BE_TOLD = /only with masters|only with primaries/i;

export async function connectNode(nodeId: string, target: NodeAddress): Promise<ConnectedNode> {
  const wire = await openWire(target);
  const compresses = await isCompressing(wire);
  let opened: readonly Wire[] = [wire];
  let opening: Promise<Bench> | undefined;
  let tellsReplicasFirst = false;
  let plainUntil = 0;
  const all = async (commands: readonly (readonly Word[])[], fine?: RegExp, over: Wire = wire): Promise<readonly Reply[]> => {
    const replies = await over.ask(commands);
    for (const reply of replies) if (reply instanceof ServerError && fine?.test(reply.message) !== true) throw reply;
    return replies;
  };
  const sit = (): Promise<Bench> => {
    opening ??= openBench(wire, target).then((all) => {
      opened = all.seats;
      tellsReplicasFirst = all.singly;
      return all;
    });
    return opening;
  };
  const setSlot = async (slots: readonly number[], how: readonly string[], fine?: RegExp): Promise<void> => {
    const commands = slots.map((slot) => ['CLUSTER', 'SETSLOT', slot, ...how]);
    const { seats: bench } = await sit();
    await Promise.all(
      bench.map((over, seat) =>
        all(
          commands.filter((_, index) => index % bench.length === seat),
          fine,
          over,
        ),
      ),
    );
  };
  const login = ['AUTH2', systemUsers.operator, target.password];
  return {
    nodeId,
    address: target.address,
    wire,
    writtenSinceItLed: (names, formerStream) => writtenSinceItLed(wire, target, { names, formerStream }),
    count: async (slots) => (await all(slots.map(countKeys))).map(Number),
    async countAsPrimary(slots) {
      const [role, ...counts] = await all([['ROLE'], ...slots.map(countKeys)]);
      const [name] = Array.isArray(role) ? (role as readonly Reply[]) : [];
      if (String(name) !== 'master') throw new ServerError(`READONLY ${target.address} has become a replica`);
      return counts.map(Number);
    },
    async keys(wanted) {
      if (wanted.length === 0) return [];
      const replies = await wire.askRaw(
        wanted.map(({ slot, most }) => encodeCommand(['CLUSTER', 'GETKEYSINSLOT', slot, most])),
        wanted.length,
      );
      return replies.map((reply) => {
        if (reply instanceof RawList) return reply;
        throw reply instanceof Error ? reply : new Error('GETKEYSINSLOT did not answer with a list');
      });
    },
    async migrate(lists, destination, timeoutMs, keep) {
      const words = ['MIGRATE', destination.address, String(ports.server), '', '0', String(timeoutMs), 'REPLACE', ...login, 'KEYS'];
      const send = async (list: KeyBatch): Promise<void> => {
        const { bytes = 0 } = list;
        if (!(list instanceof RawList)) throw new TypeError('keys of another node');
        // The names go back as they came: the server's reply is the end of the next command. In one write: hardly anything can come in between, and nothing in a transaction.
        const move = [`*${words.length + list.count}\r\n${words.map(encodeText).join('')}`, list.body];
        const commands = keep === undefined ? move : [copyHead(list.count), list.body, ...move];
        const count = keep === undefined ? 1 : 2;
        const patienceMs = timeoutMs * (1 + UNDER_WAY) + 5000;
        const may = compresses && performance.now() > plainUntil && bytes <= MOST_UNCOMPRESSED_BYTES;
        const uncompressed = may ? await askUncompressed(wire, commands, count, patienceMs) : undefined;
        // Where keys expire the next transactions are likely to be refused, too.
        if (may && uncompressed === undefined) plainUntil = performance.now() + PLAIN_FOR_MS;
        const replies = uncompressed ?? (await wire.askRaw(commands, count, patienceMs));
        for (const reply of replies) if (reply instanceof RawList) keep?.(reply);
        for (const reply of replies) if (reply instanceof Error) throw reply;
      };
      const start = performance.now();
      const underWay: Promise<void>[] = [];
      for (const list of lists) {
        if (underWay.length === UNDER_WAY) await underWay.shift();
        const sent = send(list);
        sent.catch(() => undefined); // it is thrown where it is awaited
        underWay.push(sent);
      }
      for (const sent of underWay) await sent;
      return performance.now() - start;
    },
    async split(batch, bytes) {
      if (!(batch instanceof RawList)) throw new TypeError('keys of another node');
      const names = listItems(batch);
      // A key that has expired is answered for as if it had left already.
      const sizes = (await wire.ask(names.map((name) => ['MEMORY', 'USAGE', name]))).map((reply) => {
        if (reply instanceof ServerError && reply.kind !== 'ASK') throw reply;
        return typeof reply === 'number' ? reply : 0;
      });
      return partsOf(names, sizes, bytes);
    },
    importing: (slots, sourceId) => setSlot(slots, ['IMPORTING', sourceId], SO_ALREADY),
    migrating: (slots, destinationId) => setSlot(slots, ['MIGRATING', destinationId], SO_ALREADY),
    async claim(slots) {
      if ((await sit()).singly) return setSlot(slots, ['NODE', nodeId]);
      // Of each slot that comes from somebody a node tells all others, at once; and they look through all slots each time. Of these it tells once.
      const commands = slots.flatMap((slot, index): readonly (readonly Word[])[] => {
        const own = ['CLUSTER', 'SETSLOT', slot, 'NODE', nodeId];
        return index < slots.length - 1 ? [['CLUSTER', 'SETSLOT', slot, 'STABLE'], own] : [own];
      });
      const replies = await all([['MULTI'], ['CLUSTER', 'BUMPEPOCH'], ...commands, ['EXEC']]);
      const ends = replies.at(-1);
      for (const reply of Array.isArray(ends) ? (ends as readonly Reply[]) : []) if (reply instanceof ServerError) throw reply;
    },
    assign: (slots, ownerId, lenient) => setSlot(slots, ['NODE', ownerId], lenient === undefined ? undefined : NONE_TO_BE_TOLD),
    stable: (slots) => setSlot(slots, ['STABLE'], NONE_TO_BE_TOLD),
    get tellsReplicasFirst() {
      return tellsReplicasFirst;
    },
    get alive() {
      return opened.every((one) => one.alive);
    },
    close: () => {
      closeAll(opened);
      opening?.then(
        ({ seats }) => closeAll(seats),
        () => undefined,
      ); // it never opened
    },
  };
}

const COMPRESSION = 'rdbcompression';
/** So long a node that has refused a transaction is not asked for another. */
const PLAIN_FOR_MS = 10_000;
/** A large value that packs well would need its whole size twice at the source. */
const MOST_UNCOMPRESSED_BYTES = 8 * 1024 ** 2;
const BEGIN = [['MULTI'], ['CONFIG', 'SET', COMPRESSION, 'no']].map(encodeCommand).join('');
const END_OF = [['CONFIG', 'SET', COMPRESSION, 'yes'], ['EXEC']].map(encodeCommand).join('');

async function isCompressing(wire: Wire): Promise<boolean> {
  try {
    const reply = await wire.one('CONFIG', 'GET', COMPRESSION);
    return Array.isArray(reply) && String(reply[1]) === 'yes';
  } catch (error) {
    wire.close();
    throw error;
  }
}

/**
 * Asks for what serializes keys, in a transaction in which the server does not compress them: what it saves on the way costs many times that in the time for
 * which it stands still, on both sides. Nobody else ever sees the setting, and no death of anybody leaves it behind.
 * @returns undefined when nothing was done: one of the keys is gone meanwhile, and of a slot that leaves a transaction wants all; or the server is full, and Redis before 8 then queues nothing
 */
async function askUncompressed(
  wire: Wire,
  commands: readonly (string | Buffer)[],
  count: number,
  timeoutMs: number,
): Promise<readonly Reply[] | undefined> {
  const replies = await wire.askRaw([BEGIN, ...commands, END_OF], count + 4, timeoutMs);
  const refused = replies.slice(0, -1).find((reply) => reply instanceof ServerError);
  if (refused?.kind === 'OOM') return undefined;
  if (refused !== undefined) return [refused];
  const ends = replies.at(-1);
  if (ends instanceof ServerError && (ends.kind === 'ASK' || ends.kind === 'TRYAGAIN')) return undefined;
  return Array.isArray(ends) ? (ends as readonly Reply[]) : [ends ?? null];
}

const closeAll = (wires: readonly Wire[]): void => {
  for (const wire of wires) wire.close();
};

/**
 * Commands that send keys, at a time: the next one waits at the source, and not for us. Should the destination stand still, the source waits for
 * it with each of them, and no longer than its replicas are patient with it.
 */
const UNDER_WAY = 2;
const SIDE_BY_SIDE = 16;

/** Connections for SETSLOT. */
interface Bench {
  readonly seats: readonly Wire[];
  /** Each command is one of its own, and not one of a transaction. */
  readonly singly: boolean;
}

/**
 * Valkey from 8.0 answers SETSLOT only when the replicas have it too, and takes the next command of a connection afterwards: there a pipeline is
 * no quicker than single commands, and connections side by side are. In a transaction it could not wait.
 */
async function openBench(wire: Wire, target: NodeAddress): Promise<Bench> {
  const info = parseInfo(String(await wire.one('INFO', 'server', 'replication')));
  if (!info.has('valkey_version')) return { seats: [wire], singly: false };
  if (onlineReplicas(info).length === 0) return { seats: [wire], singly: true };
  const more = await Promise.allSettled(Array.from({ length: SIDE_BY_SIDE - 1 }, () => openWire(target)));
  return { seats: [wire, ...more.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))], singly: true };
}

const countKeys = (slot: number): readonly Word[] => ['CLUSTER', 'COUNTKEYSINSLOT', slot];

/** A list of names with what their keys weigh. */
class MeasuredList extends RawList {
  readonly bytes: number;
  constructor(names: readonly Buffer[], bytes: number) {
    super(names.length, Buffer.concat(names.flatMap((name) => [Buffer.from(`$${name.length}\r\n`), name, END])));
    this.bytes = bytes;
  }
}

const END = Buffer.from('\r\n');

function partsOf(names: readonly Buffer[], sizes: readonly number[], most: number): readonly MeasuredList[] {
  const parts: MeasuredList[] = [];
  let part: Buffer[] = [];
  let bytes = 0;
  const close = () => {
    if (part.length > 0) parts.push(new MeasuredList(part, bytes));
    part = [];
    bytes = 0;
  };
  for (const [index, name] of names.entries()) {
    const size = sizes[index] ?? 0;
    if (bytes + size > most) close();
    part.push(name);
    bytes += size;
  }
  close();
  return parts;
}
