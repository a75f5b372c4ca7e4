import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { slotsOf } from '../../model/migration/moves.ts';
import { rangesOf, type ShardSource } from '../../model/recovery/shard-recovery.ts';
import { SLOTS } from '../../model/slots.ts';
import { openShard, pour, requireSame, tarOf, told } from '../backup/unpack.ts';
import { inspectContainer } from '../docker/containers.ts';
import { type DataMark, readMark } from '../docker/node-data.ts';
import { putTar } from '../docker/node-files.ts';
import { NEVER_STARTED, refuseForeign } from '../docker/nodes.ts';
import { UnknownRdb } from '../rdb/cursor.ts';
import { type Taker, takeApart } from '../rdb/take-apart.ts';
import { report } from '../support/beating.ts';
import { fatal } from '../support/failure.ts';
import { attempt, refuseWhenCancelled } from '../support/until.ts';
import { inside, writesOf } from './append-only.ts';
import type { FillDeps } from './fill-shard.ts';
import { type Large, putLarge } from './large-keys.ts';
import { createPieces, PIECE_BYTES, type Piece, type Pieces, type PiecesOptions } from './pieces.ts';
import { routeWrites, UnknownWrite, type WriteTaker } from './route-writes.ts';

/** A node whose volume gets keys. */
export interface SpreadTarget {
  readonly name: string;
  /** The id of its container: a run that was ended finds that no more, when another one has made it anew. */
  readonly container: string;
  /** That it will have. */
  readonly slots: string;
}

export interface SpreadRequest {
  readonly clusterId: string;
  /** Of the data, as it stands in the marks of the volumes. */
  readonly id: string;
  readonly targets: readonly SpreadTarget[];
  readonly source: ShardSource;
  /** Each target gets the function libraries too. */
  readonly functions: boolean;
}

/** What a node got. */
export interface Share {
  readonly name: string;
  /** Their number; `pieceName` names them. */
  readonly files: number;
  readonly bytes: number;
  readonly keys: number;
}

export interface Spread {
  readonly shard: number;
  /** That made them. */
  readonly attempt: number;
  readonly shares: readonly Share[];
  /** The last moment that is in it for certain, ms since 1970; missing for a base alone. */
  readonly reachedMs?: number;
}

const MIB = 1024 ** 2;
/** Of a piece: each costs the engine about as much as 8 MiB of data do. */
const [LEAST_BYTES, MOST_BYTES] = [MIB / 8, 8 * MIB];
/** Of all pieces that are gathered for one shard, of up to some 400 owners. */
const HELD_BYTES = 48 * MIB;
const AT_ONCE = 2;

/** A larger key is read a second time, by itself, when its length is known. @param owners that pieces are gathered for at once */
const largestFor = (owners: number): number => Math.max(LEAST_BYTES, Math.min(MOST_BYTES, Math.floor(HELD_BYTES / (owners + AT_ONCE))));

/** Each attempt has files of its own: one that was given up, and writes on, spoils nothing. */
export const pieceName = (shard: number, attempt: number, number: number): string => `spread.${shard}.${attempt}.${number}.rdb`;

/**
 * Every key of a stored shard lies in the volume of the node that will have its slot, none of which was ever started: as RDBs, and the writes after them, that their servers load one after the other. Nothing is written down on the way.
 * @throws FormatNotSupported when the shard holds what this version cannot take apart, which only a server can; ObjectDamaged, ObjectMissing, NotRestorable, HostFull, PlanRefused
 */
export async function spreadShard(deps: FillDeps, { clusterId, id, targets, source, functions }: SpreadRequest): Promise<Spread> {
  const { docker } = deps;
  for (const target of targets) await requirePrepared(docker, target, clusterId, id);
  const shares = targets.map(({ name }) => ({ name, files: 0, bytes: 0, keys: 0 }));
  const shareOf = (owner: number) => shares[owner] as (typeof shares)[number];
  const all = [...targets.keys()];

  const put: Put = async (owner, content, size) => {
    refuseWhenCancelled();
    const share = shareOf(owner);
    const { container = '' } = targets[owner] ?? {};
    const name = `${inside(nodePaths.appendOnly)}/${pieceName(source.shard, attempt(), ++share.files)}`;
    share.bytes += size;
    await pour(tarOf([inside(nodePaths.db), inside(nodePaths.appendOnly)], [{ name, size, content }]), putTar(docker, container));
  };
  const send = ({ owner, bytes }: Piece) => put(owner, Readable.from([bytes]), bytes.length);
  const counted = (owner: number, keys: number) => {
    shareOf(owner).keys += keys;
  };
  try {
    const writes = source.until === undefined ? undefined : await writesOf(deps, source, source.until);
    const owners = ownersBySlot(targets, source);
    // Who gets functions has a piece that is gathered, also without a key.
    const largestBytes = largestFor(functions ? all.length : new Set(slotsOf(rangesOf(source.slots)).map(owners.of)).size);
    await spreadBase(deps, source, { owners, librariesFor: functions ? all : [], largestBytes, put, send, counted });
    if (writes !== undefined) await spreadWrites(writes.content, { owners, functionsFor: functions ? all : [], largestBytes, send });
    return {
      shard: source.shard,
      attempt: attempt(),
      shares: shares.filter(({ files }) => files > 0),
      ...(writes === undefined ? {} : { reachedMs: writes.cut.timeMs }),
    };
  } catch (error) {
    throw error instanceof UnknownRdb || error instanceof UnknownWrite
      ? fatal(failures.formatNotSupported, `shard ${source.shard} of ${source.cluster} cannot be taken apart: it holds ${error.message}`)
      : error;
  }
}

type Put = Parameters<typeof putLarge>[4];

async function spreadBase(
  deps: FillDeps,
  source: ShardSource,
  to: {
    readonly owners: Owners;
    readonly librariesFor: readonly number[];
    readonly largestBytes: number;
    readonly put: Put;
    readonly send: PiecesOptions['send'];
    readonly counted: (owner: number, keys: number) => void;
  },
): Promise<void> {
  const opening = await openShard(deps, source, source.base);
  const { largestBytes } = to;
  const large: Large[] = [];
  let pieces: Pieces | undefined;
  let magic = '';
  const taker: Taker = {
    ownerOf: to.owners.of,
    begin(read, libraries) {
      if (libraries.length > largestBytes) throw new UnknownRdb(`${libraries.length} bytes of function libraries`);
      magic = read;
      pieces = createPieces({ magic, pieceBytes: largestBytes + PIECE_BYTES, send: to.send, atOnce: AT_ONCE });
      if (libraries.length > 0) for (const owner of to.librariesFor) pieces.add(owner, libraries);
    },
    take(owner, bytes, keys) {
      if (owner === to.owners.nobody) return;
      pieces?.add(owner, bytes);
      to.counted(owner, keys);
    },
    takeLarge(owner, from, end) {
      if (owner === to.owners.nobody) return;
      large.push({ owner, from, to: end });
      to.counted(owner, 1);
    },
    rest: () => pieces?.rest(),
  };
  try {
    const keys = await takeApart(told(opening, source.base), taker, { largestBytes });
    requireSame(opening, source.base);
    if (keys !== source.base.keys)
      throw fatal(
        failures.backupNotGood,
        `${source.base.key} has ${keys} keys, and there were ${source.base.keys}. Use another backup, and report this`,
      );
    await pieces?.end();
  } finally {
    await pieces?.close();
  }
  if (large.length > 0) await putLarge(deps, source, magic, large, to.put);
}

async function spreadWrites(
  writes: AsyncIterable<Buffer>,
  {
    owners,
    functionsFor,
    largestBytes,
    send,
  }: {
    readonly owners: Owners;
    readonly functionsFor: readonly number[];
    readonly largestBytes: number;
    readonly send: PiecesOptions['send'];
  },
): Promise<void> {
  const pieces = createPieces({ pieceBytes: largestBytes, send, atOnce: AT_ONCE });
  const taker: WriteTaker = {
    ownerOf(slot) {
      const owner = owners.of(slot);
      return owner === owners.nobody ? undefined : owner;
    },
    take: pieces.add,
    takeForAll(bytes) {
      for (const owner of functionsFor) pieces.add(owner, bytes);
    },
    rest: pieces.rest,
  };
  try {
    await routeWrites(heard(writes), taker, { largestBytes });
    await pieces.end();
  } finally {
    await pieces.close();
  }
}

/** With how many bytes have come in the heartbeats. */
async function* heard(writes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let bytes = 0;
  for await (const part of writes) {
    bytes += part.length;
    report({ writes: bytes });
    yield part;
  }
}

/** The volume is the empty one that was made for this. @returns what its mark says @throws PlanRefused, NameTaken */
export async function requirePrepared(
  docker: Docker,
  { name, container }: Pick<SpreadTarget, 'name' | 'container'>,
  clusterId: string,
  id: string,
): Promise<DataMark> {
  const found = await inspectContainer(docker, container);
  if (found === undefined)
    throw fatal(failures.refused, `${name}, which this restore has made, is gone: who else works on it? Run the restore again`);
  refuseForeign(found.Config.Labels, clusterId, `container ${name}`);
  const mark = await readMark(docker, container);
  if (mark?.id !== id || found.State.StartedAt !== NEVER_STARTED)
    throw fatal(failures.refused, `the volume of ${name} is not the empty one that this restore has made: who else works on it?`);
  return mark;
}

/** Whose the slots are. */
interface Owners {
  /** By the order of the targets; undefined where nobody knows. */
  of(slot: number): number | undefined;
  /** Who gets what another shard, or a node that is whole already, has for certain. */
  readonly nobody: number;
}

/**
 * Only of slots that the shard had. Of a key of another one nobody knows in a backup whether it is the right one of two; at a moment that can be chosen, that one's owner has it (0013).
 */
function ownersBySlot(targets: readonly SpreadTarget[], { slots, atMoment }: ShardSource): Owners {
  const nobody = targets.length;
  const owners = new Int32Array(SLOTS).fill(nobody);
  for (const [owner, target] of targets.entries()) for (const [from, to] of rangesOf(target.slots)) owners.fill(owner, from, to + 1);
  const own = new Uint8Array(SLOTS);
  for (const [from, to] of rangesOf(slots)) own.fill(1, from, to + 1);
  return { nobody, of: (slot) => (own[slot] === 1 ? owners[slot] : atMoment === true ? nobody : undefined) };
}
