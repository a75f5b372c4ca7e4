import { limitsOf } from '../../model/layout.ts';
import { listedFrom } from '../../model/migration/key-room.ts';
import { formatRanges, type SlotMove, slotsOf, toRanges } from '../../model/migration/moves.ts';
import type { BigKeyScan } from '../../model/migration/survey.ts';
import { NAME_BYTES, printable } from '../redis/printable.ts';
import { encodeCommand, encodeText, listItems, RawList, type Reply, ServerError } from '../redis/protocol.ts';
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
interface Pace {
  /** Keys that one command measures. */
  readonly keys: number;
  /** Rounds on their way: with a second one the server need not wait for us, and nobody else gets a turn between two. */
  readonly rounds: number;
}
/** A primary is held up for about a millisecond at a time; a replica for three or four. */
const PACES = { primary: { keys: 500, rounds: 1 }, replica: { keys: 1000, rounds: 2 } } as const satisfies Record<string, Pace>;
/** Slots that a server lists in one go when they are all but empty: a few microseconds each. */
const SLOTS_AT_ONCE = 128;
/** A server can only list all of a slot or its beginning, and is held up meanwhile: about 20 ms for so many names. */
const MOST_IN_A_SLOT = 50_000;
/** A slot may have got so many keys since they were counted. */
const GROWN = 100;
const MOST_TOLD = 20;

/**
 * Looks for large keys in the slots that shall move: on a replica where there is one, since it costs a server one or two microseconds a key.
 * The server measures by samples of a key's elements (`MEMORY USAGE`). Changes nothing.
 *
 * What is bounded: the time of a shard (30 s); a round by its keys (500 on a primary, 1000 on a replica) and its slots (128). A slot with more
 * keys than that is a round of its own, listed by one command, and measured 500 at a time: so at most two lists of 50,000 names are held here.
 * A slot with more keys still, or one whose turn did not come, is not looked at and is `careful` right away, its keys are measured while they
 * move; and so is one with a key that the server will not measure.
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
      const pace = PACES[node === shard?.primary ? 'primary' : 'replica'];
      const wire = await openWire(now.target(node));
      try {
        await wire.one('READONLY');
        return await scanShard(wire, { shard: source, slots, pace }, request);
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
    bigCount: big.filter(({ bytes }) => bytes > request.maxKeyBytes).length,
    careful: formatRanges(toRanges(scans.flatMap(({ careful }) => careful))),
  };
}

interface SlotCount {
  readonly slot: number;
  readonly keys: number;
}

interface ShardScan {
  readonly shard: number;
  readonly slots: readonly number[];
  readonly pace: Pace;
}

async function scanShard(wire: Wire, { shard, slots, pace }: ShardScan, { spec, maxKeyBytes, batchBytes }: BigKeyRequest) {
  const listed = listedFrom(maxKeyBytes, limitsOf(spec, 'data').memoryBytes);
  const end = Date.now() + WITHIN_MS;
  const replies = await wire.ask(slots.map((slot) => ['CLUSTER', 'COUNTKEYSINSLOT', slot]));
  const counted = slots.flatMap((slot, index): readonly SlotCount[] => {
    const keys = replies[index];
    return typeof keys === 'number' ? [{ slot, keys }] : [];
  });
  const careful = new Set(slots);
  const big: { readonly slot: number; readonly shard: number; readonly key: string; readonly bytes: number }[] = [];
  let looked = 0;
  const look = createLook(wire, Math.min(listed, batchBytes), pace.keys);
  const rounds = roundsOf(
    counted.filter(({ keys }) => keys <= MOST_IN_A_SLOT),
    pace.keys,
  );
  const work = async () => {
    for (const round of rounds) {
      refuseWhenCancelled();
      if (Date.now() > end) return;
      const seen = await look(round);
      looked += seen.looked;
      for (const { slot } of round) careful.delete(slot);
      for (const { slot, bytes, name } of seen.large) {
        if (bytes > batchBytes) careful.add(slot);
        if (bytes > listed && bytes !== UNKNOWN) big.push({ slot, shard, key: printable(name), bytes });
      }
    }
  };
  await Promise.all(Array.from({ length: pace.rounds }, work));
  return { looked, keys: counted.reduce((sum, { keys }) => sum + keys, 0), big, careful: [...careful] };
}

/** Slots that are looked at together; one with many keys is alone. */
function* roundsOf(slots: readonly SlotCount[], atOnce: number): Generator<readonly SlotCount[]> {
  let round: SlotCount[] = [];
  let keys = 0;
  for (const one of slots) {
    if (round.length > 0 && (keys + one.keys > atOnce || round.length === SLOTS_AT_ONCE)) {
      yield round;
      [round, keys] = [[], 0];
    }
    round.push(one);
    keys += one.keys;
  }
  if (round.length > 0) yield round;
}

/** Larger than any limit: a key that cannot be measured is moved with care. */
const UNKNOWN = Number.POSITIVE_INFINITY;

interface Seen {
  /** Keys that were listed. */
  readonly looked: number;
  /** Those above the limit. Of a long name only the beginning. */
  readonly large: readonly { readonly slot: number; readonly bytes: number; readonly name: Buffer }[];
}

/**
 * Names and sizes stay inside of the server: to send them to and fro, and to take them apart on both sides, is half of the work otherwise. It
 * declares no keys, since they are of several slots. `EVAL_RO` may run on a replica, and is told from scripts that write (`watchRemovals`). What
 * it leaves behind is its source in the server's cache, less than a kilobyte, until the next restart.
 */
const MEASURE = `
local above, looked, large = tonumber(ARGV[1]), 0, {}
for i = 2, #ARGV, 2 do
  local names = redis.call('CLUSTER', 'GETKEYSINSLOT', ARGV[i], ARGV[i + 1])
  looked = looked + #names
  for _, name in ipairs(names) do
    local bytes = redis.pcall('MEMORY', 'USAGE', name)
    if type(bytes) == 'table' then bytes = -1 end
    if bytes and (bytes < 0 or bytes > above) then
      large[#large + 1] = { tonumber(ARGV[i]), bytes, string.sub(name, 1, ${NAME_BYTES + 1}) }
    end
  end
end
return { looked, large }`;

/**
 * Asks one server for keys above so many bytes: by a script, or with a command for each key when it has refused one, and for a slot with too
 * many keys for one script: to send their names back to a script is no quicker.
 */
function createLook(wire: Wire, above: number, atOnce: number): (round: readonly SlotCount[]) => Promise<Seen> {
  let refused = false;
  const byScript = async (words: readonly number[]): Promise<Seen | undefined> => {
    const [reply] = await wire.ask([['EVAL_RO', MEASURE, 0, above, ...words]]);
    if (Array.isArray(reply)) return readAnswer(reply);
    refused = true;
    return undefined;
  };
  return async (round) => {
    const fits = round.reduce((sum, { keys }) => sum + keys, 0) <= atOnce;
    const seen = fits && !refused ? await byScript(round.flatMap(({ slot, keys }) => [slot, keys + GROWN])) : undefined;
    if (seen !== undefined) return seen;
    const lists = await wire.askRaw(
      round.map(({ slot, keys }) => encodeCommand(['CLUSTER', 'GETKEYSINSLOT', slot, keys + GROWN])),
      round.length,
    );
    const parts: Seen[] = [];
    for (const [index, { slot }] of round.entries()) {
      const list = lists[index];
      if (!(list instanceof RawList)) parts.push({ looked: 0, large: [{ slot, bytes: UNKNOWN, name: NOTHING }] });
      else for (const part of partsOf(list, PACES.primary.keys)) parts.push(await measureEach(wire, slot, part, above));
    }
    return { looked: parts.reduce((sum, { looked }) => sum + looked, 0), large: parts.flatMap(({ large }) => large) };
  };
}

const NOTHING = Buffer.alloc(0);

/** What the script answers: how many keys it has seen; slot, bytes and name of each large one. */
function readAnswer([looked, large]: readonly Reply[]): Seen {
  return {
    looked: Number(looked),
    large: (large as readonly (readonly Reply[])[]).map(([slot, bytes, name]) => ({
      slot: Number(slot),
      bytes: Number(bytes) < 0 ? UNKNOWN : Number(bytes),
      name: Buffer.isBuffer(name) ? name : NOTHING,
    })),
  };
}

const MEMORY_USAGE = Buffer.from(`*3\r\n${encodeText('MEMORY')}${encodeText('USAGE')}`);

async function measureEach(wire: Wire, slot: number, list: RawList, above: number): Promise<Seen> {
  const commands = [...partsOf(list, 1)].flatMap(({ body }) => [MEMORY_USAGE, body]);
  const sizes = (await wire.askRaw([Buffer.concat(commands)], list.count)).map((reply) =>
    reply instanceof ServerError ? UNKNOWN : Number(reply),
  );
  if (sizes.every((bytes) => bytes <= above)) return { looked: list.count, large: [] };
  const large = listItems(list).flatMap((name, index) => {
    const bytes = sizes[index] ?? UNKNOWN;
    return bytes > above ? [{ slot, bytes, name }] : [];
  });
  return { looked: list.count, large };
}

/** A list in pieces of so many names; nothing is copied. */
function* partsOf({ count, body }: RawList, most: number): Generator<RawList> {
  let [start, at] = [0, 0];
  for (let items = 1; items <= count; items++) {
    const lineEnd = body.indexOf(13, at);
    at = lineEnd + 2 + Number(body.toString('latin1', at + 1, lineEnd)) + 2;
    if (items % most > 0 && items < count) continue;
    yield new RawList(items % most || most, body.subarray(start, at));
    start = at;
  }
}
