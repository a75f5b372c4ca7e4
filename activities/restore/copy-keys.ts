import { failures } from '../../config/failures.ts';
import { ports, systemUsers } from '../../config/names.ts';
import { tightFor } from '../../model/migration/key-room.ts';
import { hasSlot, type SlotRange } from '../../model/slots.ts';
import { mib } from '../../model/words.ts';
import { slotOfKey } from '../redis/key-slot.ts';
import { parseInfo } from '../redis/parse.ts';
import { printable } from '../redis/printable.ts';
import { ServerError, type Word } from '../redis/protocol.ts';
import type { Wire } from '../redis/wire.ts';
import { report } from '../support/beating.ts';
import { fatal } from '../support/failure.ts';
import { refuseWhenCancelled } from '../support/until.ts';
import type { Owners } from './owners.ts';

export interface CopyOptions {
  /** That the shard had. It may hold keys of others, which were on their way to it: they are with their owner. Missing in sentinel mode. */
  readonly slots: readonly SlotRange[] | undefined;
  readonly owners: Owners;
  readonly include: readonly string[];
  /** Of the operator at the owners. */
  readonly password: string;
  readonly shard: number;
  /** Memory of the container that sends the keys, and of each that takes them. */
  readonly memoryBytes: { readonly sender: number; readonly taker: number };
  /** Memory that the server of an owner uses now. */
  readonly usedBy: (address: string) => Promise<number>;
}

/** What was copied. */
export interface Copied {
  readonly shard: number;
  /** Keys that were copied; one that two patterns match counts twice. Those whose time ends while it lasts are counted, and may be gone. */
  readonly keys: number;
  /** So many of them are different ones, at least. */
  readonly different: number;
  /** Of all keys of the shard: those that have a time to live. */
  readonly mortal: number;
  readonly reachedMs?: number;
}

const SCAN_KEYS = 1000;
/** Keys in a MIGRATE: as many as take about so long, for the server does nothing else meanwhile. */
const [MOST_KEYS, FIRST_KEYS, AIM_MS] = [1000, 100, 50];
/** And as many bytes: each side holds them several times. */
const MOST_BYTES = 8 * 1024 ** 2;
/** Keys below it are not told apart: a thousand of them are half of what may be sent. */
const SMALL_BYTES = 4096;
/** Before a larger key is sent, it is asked whether there is room. */
const ASKED_FROM_BYTES = 4 * 1024 ** 2;
/** A single key of some hundred megabytes takes as long as that. */
const ANSWER_MS = 120_000;

/** Sends the keys of a server to those that own their slots. A batch is as large as keys, bytes and time allow. The server sends one batch at a time, and answers nothing meanwhile: another connection would not help. */
export async function copyKeys(wire: Wire, options: CopyOptions): Promise<Copied> {
  const keyspace = parseInfo(String(await wire.one('INFO', 'keyspace')));
  const databases = [...keyspace].flatMap(([name, text]) => {
    const [, number] = /^db(\d+)$/.exec(name) ?? [];
    return number === undefined ? [] : [{ number: Number(number), mortal: Number(/expires=(\d+)/.exec(text)?.[1] ?? 0) }];
  });
  const other = databases.find(({ number }) => number > 0);
  if (other !== undefined)
    throw fatal(
      failures.refused,
      `the data has keys in database ${other.number}, and only those of database 0 can be sent to other shards: restore all of it, in sentinel mode`,
    );
  let [keys, different] = [0, 0];
  for (const { number } of databases) {
    await wire.one('SELECT', number);
    const counts: number[] = [];
    for (const pattern of options.include.length > 0 ? options.include : [undefined]) {
      counts.push(await copyDatabase(wire, number, pattern, options, keys));
      keys += counts.at(-1) ?? 0;
    }
    different += Math.max(...counts);
  }
  return { shard: options.shard, keys, different, mortal: databases.reduce((sum, { mortal }) => sum + mortal, 0) };
}

async function copyDatabase(
  wire: Wire,
  database: number,
  pattern: string | undefined,
  options: CopyOptions,
  before: number,
): Promise<number> {
  const { owners, shard, slots } = options;
  const isOwn = (key: Buffer) => slots === undefined || hasSlot(slots, slotOfKey(key));
  const waiting = owners.addresses.map((): Buffer[] => []);
  const scan = (from: string): ReturnType<Wire['ask']> => {
    const asked = wire.ask(
      [['EVAL_RO', LIST, 0, SMALL_BYTES, from, SCAN_KEYS, ...(pattern === undefined ? [] : [pattern])]],
      2 * ANSWER_MS,
    );
    asked.catch(() => undefined); // it is thrown where it is awaited
    return asked;
  };
  /** Of those above `SMALL_BYTES` that wait. */
  const bytes = new Map<Buffer, number>();
  const next = (list: Buffer[], most: number): readonly Buffer[] => {
    let [count, sum] = [0, 0];
    for (const key of list.slice(0, most)) {
      sum += bytes.get(key) ?? 0;
      if (count > 0 && sum > MOST_BYTES) break;
      count++;
    }
    return list.splice(0, count);
  };
  let [cursor, keys, batch] = ['0', 0, FIRST_KEYS];
  let asked = scan(cursor);
  do {
    const [reply] = await asked;
    if (reply instanceof ServerError) throw reply;
    const [following, found, large] = reply as readonly [Buffer | string, readonly Buffer[], readonly (readonly [number, number])[]];
    cursor = String(following);
    for (const [index, size] of large) {
      const key = found[index];
      if (key !== undefined) bytes.set(key, size);
    }
    if (cursor !== '0') asked = scan(cursor); // the server has the next keys ready when these are sent
    for (const key of found) {
      if (!isOwn(key)) continue;
      keys++;
      waiting[owners.bySlot.length === 0 ? 0 : (owners.bySlot[slotOfKey(key)] ?? 0)]?.push(key);
    }
    for (const [owner, list] of waiting.entries())
      while (list.length >= batch || (cursor === '0' && list.length > 0)) {
        refuseWhenCancelled();
        const address = owners.addresses[owner] ?? '';
        const part = next(list, batch);
        for (const key of part) {
          const size = bytes.get(key) ?? 0;
          if (size >= ASKED_FROM_BYTES) await refuseWithoutRoom(wire, address, { key, bytes: size }, options);
        }
        batch = await send(wire, address, database, part, options.password, batch);
        for (const key of part) bytes.delete(key);
      }
    report({ shard, keys: before + keys });
  } while (cursor !== '0');
  return keys;
}

/** The next keys, by `SCAN`; and which of them are larger than so much, as `[index, bytes]`, by samples of their elements. */
const LIST = `
local above, large = tonumber(ARGV[1]), {}
local found = redis.call('SCAN', ARGV[2], 'COUNT', ARGV[3], unpack(ARGV[4] and { 'MATCH', ARGV[4] } or {}))
for i, name in ipairs(found[2]) do
  local bytes = redis.call('MEMORY', 'USAGE', name)
  if bytes and bytes > above then large[#large + 1] = { i - 1, bytes } end
end
return { found[1], found[2], large }`;

/** A server that has no room for what it takes for a moment is killed by its container, again with each attempt. */
async function refuseWithoutRoom(
  wire: Wire,
  address: string,
  { key, bytes }: { readonly key: Buffer; readonly bytes: number },
  { memoryBytes, usedBy }: CopyOptions,
): Promise<void> {
  const used = Number(parseInfo(String(await wire.one('INFO', 'memory'))).get('used_memory'));
  const taker = { besides: await usedBy(address), containerBytes: memoryBytes.taker };
  const tight = tightFor(bytes, taker, { besides: used - bytes, containerBytes: memoryBytes.sender });
  if (tight === undefined) return;
  const who = tight.by === 'taker' ? address : 'the server that sends it';
  throw fatal(
    failures.hostFull,
    `the key ${printable(key)} has ${mib(bytes)}, and ${who} holds it ${tight.times} times for a moment: ${tight.most}. Give nodes more memory (resources.memory in the changes)`,
  );
}

/** @returns how many keys the next batch may have. @throws HostFull, EngineRefused; what passes as it is */
async function send(
  wire: Wire,
  address: string,
  database: number,
  keys: readonly Buffer[],
  password: string,
  batch: number,
): Promise<number> {
  const began = performance.now();
  const auth: readonly Word[] = ['AUTH2', systemUsers.operator, password];
  const [reply] = await wire.ask(
    [['MIGRATE', address, ports.server, '', database, ANSWER_MS, 'COPY', 'REPLACE', ...auth, 'KEYS', ...keys]],
    2 * ANSWER_MS,
  );
  if (reply instanceof ServerError) throw refused(address, reply);
  const tookMs = performance.now() - began;
  return tookMs > 2 * AIM_MS ? Math.max(1, batch >> 1) : tookMs < AIM_MS ? Math.min(MOST_KEYS, batch * 2) : batch;
}

function refused(address: string, { message, kind }: ServerError): Error {
  if (/OOM command/.test(message))
    return fatal(
      failures.hostFull,
      `${address} has no room for the data: give nodes more memory (resources.memory in the changes), or take more shards`,
    );
  if (/DUMP payload version|Bad data format/.test(message))
    return fatal(failures.engineRefused, `${address} cannot read what the data's own version wrote: choose that version or a later one`);
  return kind === 'IOERR' || /MOVED|READONLY|CLUSTERDOWN|LOADING|TRYAGAIN/.test(message)
    ? new Error(`${address}: ${message}`)
    : fatal(failures.engineRefused, `${address} does not take a key: ${message}`);
}
