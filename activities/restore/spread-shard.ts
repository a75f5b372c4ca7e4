import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { failures } from '../../config/failures.ts';
import { nodePaths } from '../../config/names.ts';
import { rangesOf, type ShardSource } from '../../model/recovery/shard-recovery.ts';
import { SLOTS } from '../../model/slots.ts';
import { openShard, pour, requireSame, tarOf, told } from '../backup/unpack.ts';
import { inspectContainer } from '../docker/containers.ts';
import { readMark } from '../docker/node-data.ts';
import { putTar } from '../docker/node-files.ts';
import { NEVER_STARTED, refuseForeign } from '../docker/nodes.ts';
import { UnknownRdb } from '../rdb/cursor.ts';
import { type Taker, takeApart } from '../rdb/take-apart.ts';
import { fatal } from '../support/failure.ts';
import { attempt, refuseWhenCancelled } from '../support/until.ts';
import { inside } from './append-only.ts';
import type { FillDeps } from './fill-shard.ts';
import { createPieces, PIECE_BYTES, PIECE_END, type Pieces, pieceHead } from './pieces.ts';

/** A node whose volume gets keys. */
export interface SpreadTarget {
  readonly name: string;
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
}

/** Of a piece; a larger key is read a second time, by itself, when its length is known. */
const LARGEST_BYTES = 8 * 1024 ** 2;
const AT_ONCE = 2;

/** Each attempt has files of its own: one that was given up, and writes on, spoils nothing. */
export const pieceName = (shard: number, attempt: number, number: number): string => `spread.${shard}.${attempt}.${number}.rdb`;

/**
 * Every key of a stored shard lies in the volume of the node that will have its slot, none of which was ever started: as RDBs that their servers load, one after the other. Nothing is written down on the way.
 * @throws FormatNotSupported when the shard holds what this version cannot take apart, which only a server can; ObjectDamaged, ObjectMissing, HostFull, PlanRefused
 */
export async function spreadShard(deps: FillDeps, { clusterId, id, targets, source, functions }: SpreadRequest): Promise<Spread> {
  const { docker } = deps;
  for (const { name } of targets) await requirePrepared(docker, name, clusterId, id);
  const shares = targets.map(({ name }) => ({ name, files: 0, bytes: 0, keys: 0 }));
  const shareOf = (owner: number) => shares[owner] as (typeof shares)[number];

  async function put(owner: number, content: AsyncIterable<Uint8Array>, size: number): Promise<void> {
    refuseWhenCancelled();
    const share = shareOf(owner);
    const name = `${inside(nodePaths.appendOnly)}/${pieceName(source.shard, attempt(), ++share.files)}`;
    share.bytes += size;
    await pour(tarOf([inside(nodePaths.db), inside(nodePaths.appendOnly)], [{ name, size, content }]), putTar(docker, share.name));
  }

  const large: Large[] = [];
  const opening = await openShard(deps, source, source.base);
  let pieces: Pieces | undefined;
  let magic = '';
  const taker: Taker = {
    ownerOf: ownersBySlot(targets, source),
    begin(read, libraries) {
      magic = read;
      const send = ({ owner, bytes }: { readonly owner: number; readonly bytes: Buffer }) =>
        put(owner, Readable.from([bytes]), bytes.length);
      pieces = createPieces({ magic, pieceBytes: LARGEST_BYTES + PIECE_BYTES, send, atOnce: AT_ONCE });
      if (libraries.length > LARGEST_BYTES) throw new UnknownRdb(`${libraries.length} bytes of function libraries`);
      if (functions && libraries.length > 0) for (const owner of targets.keys()) pieces.add(owner, libraries);
    },
    take(owner, bytes, keys) {
      pieces?.add(owner, bytes);
      shareOf(owner).keys += keys;
    },
    takeLarge(owner, from, to) {
      large.push({ owner, from, to });
      shareOf(owner).keys++;
    },
    rest: () => pieces?.rest(),
  };
  try {
    const keys = await takeApart(told(opening, source.base), taker, { largestBytes: LARGEST_BYTES });
    requireSame(opening, source.base);
    if (keys !== source.base.keys)
      throw fatal(
        failures.backupNotGood,
        `${source.base.key} has ${keys} keys, and there were ${source.base.keys}. Use another backup, and report this`,
      );
    await pieces?.end();
  } catch (error) {
    throw error instanceof UnknownRdb
      ? fatal(failures.formatNotSupported, `${source.base.key} cannot be taken apart: it holds ${error.message}`)
      : error;
  } finally {
    await pieces?.close();
  }
  if (large.length > 0) await putLarge(deps, source, magic, large, put);
  return { shard: source.shard, attempt: attempt(), shares: shares.filter(({ files }) => files > 0) };
}

/** Where a large key stands in the whole. */
interface Large {
  readonly owner: number;
  readonly from: number;
  readonly to: number;
}

/** Reads the shard once more, and sends each of these keys by itself. */
async function putLarge(
  deps: FillDeps,
  source: ShardSource,
  magic: string,
  large: readonly Large[],
  put: (owner: number, content: AsyncIterable<Uint8Array>, size: number) => Promise<void>,
): Promise<void> {
  const opening = await openShard(deps, source, source.base);
  const stretches = createStretches(told(opening, source.base));
  const head = pieceHead(magic);
  try {
    for (const { owner, from, to } of large) {
      const content = async function* () {
        yield head;
        yield* stretches.between(from, to);
        yield PIECE_END;
      };
      await put(owner, content(), to - from + PIECE_BYTES);
    }
    await stretches.skip();
  } finally {
    await stretches.close();
  }
  requireSame(opening, source.base);
}

/** Parts of something that goes by, in its order. */
function createStretches(source: AsyncGenerator<Buffer>) {
  let held = Buffer.alloc(0);
  let at = 0; // of held
  async function more(): Promise<boolean> {
    at += held.length;
    const next = await source.next();
    held = next.done === true ? Buffer.alloc(0) : Buffer.from(next.value);
    return next.done !== true;
  }
  return {
    async *between(from: number, to: number): AsyncGenerator<Buffer> {
      for (;;) {
        if (at < to && at + held.length > from) yield held.subarray(Math.max(0, from - at), to - at);
        if (at + held.length >= to) return;
        if (!(await more())) return;
      }
    },
    async skip() {
      while (await more());
    },
    async close() {
      await source.return(undefined);
    },
  };
}

async function requirePrepared(docker: Docker, name: string, clusterId: string, id: string): Promise<void> {
  const container = await inspectContainer(docker, name);
  refuseForeign(container?.Config.Labels, clusterId, `container ${name}`);
  const mark = await readMark(docker, name);
  if (mark?.id !== id || mark.whole !== undefined || container?.State.StartedAt !== NEVER_STARTED)
    throw fatal(failures.refused, `the volume of ${name} is not the empty one that this restore has made: who else works on it?`);
}

/** Only slots that the shard had: of a key of another one nobody knows whether it is the right one of two. */
function ownersBySlot(targets: readonly SpreadTarget[], { slots }: ShardSource): Taker['ownerOf'] {
  const owners = new Int32Array(SLOTS).fill(-1);
  for (const [owner, target] of targets.entries()) for (const [from, to] of rangesOf(target.slots)) owners.fill(owner, from, to + 1);
  const own = new Uint8Array(SLOTS);
  for (const [from, to] of rangesOf(slots)) own.fill(1, from, to + 1);
  return (slot) => (own[slot] === 1 && owners[slot] !== -1 ? owners[slot] : undefined);
}
