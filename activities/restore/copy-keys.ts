import calculateSlot from 'cluster-key-slot';
import { failures } from '../../config/failures.ts';
import { ports, systemUsers } from '../../config/names.ts';
import type { SlotRange } from '../../model/slots.ts';
import { parseInfo } from '../redis/parse.ts';
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
/** A single key of some hundred megabytes takes as long as that. */
const ANSWER_MS = 120_000;

/** Sends the keys of a server to those that own their slots. The server sends one batch at a time, and answers nothing meanwhile: another connection would not help. */
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
  const isOwn = (key: Buffer) => slots === undefined || has(slots, calculateSlot(key));
  const waiting = owners.addresses.map((): Buffer[] => []);
  const scan = (from: string): ReturnType<Wire['ask']> => {
    const asked = wire.ask([['SCAN', from, ...(pattern === undefined ? [] : ['MATCH', pattern]), 'COUNT', SCAN_KEYS]], 2 * ANSWER_MS);
    asked.catch(() => undefined); // it is thrown where it is awaited
    return asked;
  };
  let [cursor, keys, batch] = ['0', 0, FIRST_KEYS];
  let asked = scan(cursor);
  do {
    const [reply] = await asked;
    if (reply instanceof ServerError) throw reply;
    const [next, found] = reply as readonly [Buffer | string, readonly Buffer[]];
    cursor = String(next);
    if (cursor !== '0') asked = scan(cursor); // the server has the next keys ready when these are sent
    for (const key of found) {
      if (!isOwn(key)) continue;
      keys++;
      waiting[owners.bySlot.length === 0 ? 0 : (owners.bySlot[calculateSlot(key)] ?? 0)]?.push(key);
    }
    for (const [owner, list] of waiting.entries())
      while (list.length >= batch || (cursor === '0' && list.length > 0)) {
        refuseWhenCancelled();
        batch = await send(wire, owners.addresses[owner] ?? '', database, list.splice(0, batch), options.password, batch);
      }
    report({ shard, keys: before + keys });
  } while (cursor !== '0');
  return keys;
}

const has = (slots: readonly SlotRange[], slot: number) => slots.some(([from, to]) => slot >= from && slot <= to);

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
