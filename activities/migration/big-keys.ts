import { formatRanges, type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import type { BigKeyScan } from '../../model/migration/survey.ts';
import { encodeCommand, encodeText, listItems, RawList } from '../redis/protocol.ts';
import { openWire, type Wire } from '../redis/wire.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import { type ClusterRef, lookAtCluster, type MigrationDeps } from './cluster-now.ts';

export interface BigKeyRequest extends ClusterRef {
  readonly moves: readonly SlotMove[];
  readonly maxKeyBytes: number;
  /** Keys above so many bytes are sent alone. */
  readonly batchBytes: number;
}

/** The scan of a shard ends after this time, however many keys there are; slots it did not come to are treated as if they held large keys. */
const WITHIN_MS = 30_000;
const SLOTS_A_ROUND = 16;
const KEYS_A_ROUND = 500;
const MOST_TOLD = 20;

interface Found {
  readonly slot: number;
  readonly shard: number;
  readonly key: string;
  readonly bytes: number;
}

/**
 * Looks for large keys in the slots that shall move: on a replica where there is one, since it costs a server half a microsecond a key. The
 * server measures by samples of a key's elements (`MEMORY USAGE`). Changes nothing.
 */
export async function scanBigKeys(deps: MigrationDeps, request: BigKeyRequest): Promise<BigKeyScan> {
  const now = await lookAtCluster(deps, request);
  const sources = [...new Set(request.moves.map(({ from }) => from))];
  const scans = await Promise.all(
    sources.map(async (source) => {
      const shard = now.shards.find((one) => one.shard === source);
      const slots = request.moves.filter(({ from }) => from === source).flatMap((move) => slotsOf(move.slots));
      const node = shard?.replicas[0] ?? shard?.primary;
      if (node === undefined) return { looked: 0, keys: 0, big: [], careful: slots };
      const wire = await openWire(now.target(node));
      try {
        await wire.one('READONLY');
        return await scanShard(wire, source, slots, request);
      } finally {
        wire.close();
      }
    }),
  );
  const big = scans.flatMap((scan) => scan.big).toSorted((a, b) => b.bytes - a.bytes);
  return {
    looked: scans.reduce((sum, { looked }) => sum + looked, 0),
    keys: scans.reduce((sum, { keys }) => sum + keys, 0),
    big: big.slice(0, MOST_TOLD),
    bigCount: big.length,
    careful: formatRanges(toRanges(scans.flatMap(({ careful }) => careful))),
  };
}

async function scanShard(wire: Wire, shard: number, slots: readonly number[], { maxKeyBytes, batchBytes }: BigKeyRequest) {
  const end = Date.now() + WITHIN_MS;
  const counts = (await wire.ask(slots.map((slot) => ['CLUSTER', 'COUNTKEYSINSLOT', slot]))).map(Number);
  const keys = counts.reduce((sum, one) => sum + one, 0);
  const careful: number[] = [];
  const big: Found[] = [];
  let looked = 0;
  for (let at = 0; at < slots.length; at += SLOTS_A_ROUND) {
    refuseWhenCancelled();
    const round = slots.slice(at, at + SLOTS_A_ROUND);
    if (Date.now() > end) {
      careful.push(...slots.slice(at));
      break;
    }
    const lists = await wire.askRaw(
      round.map((slot, index) => encodeCommand(['CLUSTER', 'GETKEYSINSLOT', slot, (counts[at + index] ?? 0) + 100])),
      round.length,
    );
    for (const [index, list] of lists.entries()) {
      const slot = round[index] ?? 0;
      if (!(list instanceof RawList)) {
        careful.push(slot);
        continue;
      }
      looked += list.count;
      const sizes = await sizesOf(wire, list);
      if (sizes.some((size) => size > batchBytes)) careful.push(slot);
      if (sizes.every((size) => size <= maxKeyBytes)) continue;
      const names = listItems(list);
      for (const [which, bytes] of sizes.entries()) {
        if (bytes > maxKeyBytes) big.push({ slot, shard, key: printable(names[which]), bytes });
      }
    }
  }
  return { looked, keys, big, careful };
}

const MEMORY_USAGE = Buffer.from(`*3\r\n${encodeText('MEMORY')}${encodeText('USAGE')}`);

/** Bytes of each key of a list; 0 for one that is gone. The names go back to the server in its own encoding, as they came. */
async function sizesOf(wire: Wire, list: RawList): Promise<readonly number[]> {
  const sizes: number[] = [];
  for (const { parts, count } of commandsOf(list)) {
    const replies = await wire.askRaw(parts, count);
    for (const reply of replies) sizes.push(typeof reply === 'number' ? reply : 0);
  }
  return sizes;
}

/** One command for each name, so many at a time that the server is free again soon. */
function* commandsOf({ count, body }: RawList): Generator<{ readonly parts: readonly Buffer[]; readonly count: number }> {
  const room = Buffer.allocUnsafe(body.length + count * MEMORY_USAGE.length);
  let [from, start, end, inRound] = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const lineEnd = body.indexOf(13, from);
    const to = lineEnd + 2 + Number(body.toString('latin1', from + 1, lineEnd)) + 2;
    end += MEMORY_USAGE.copy(room, end);
    end += body.copy(room, end, from, to);
    from = to;
    inRound++;
    if (inRound < KEYS_A_ROUND && i < count - 1) continue;
    yield { parts: [room.subarray(start, end)], count: inRound };
    [start, inRound] = [end, 0];
  }
}

/** A key for a person: what is not plain text is escaped, and a long one is cut. */
function printable(name: Buffer | undefined): string {
  const text = [...(name ?? Buffer.alloc(0)).subarray(0, 100)]
    .map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`))
    .join('');
  return (name?.length ?? 0) > 100 ? `${text}...` : text;
}
