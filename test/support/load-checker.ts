import { setTimeout as sleep } from 'node:timers/promises';
import { createLoadClient, type LoadClient, type Login } from './load-client.ts';

/** What writers did, and what of it is there: lost and phantom must both be empty. */
export interface Verdict {
  readonly acknowledged: number;
  readonly unknown: number;
  readonly refused: number;
  /** Acknowledged, and not there. */
  readonly lost: readonly string[];
  /** There, and neither acknowledged nor of unknown end. */
  readonly phantom: readonly string[];
}

/** What one writer knows of one key that only it writes to. */
interface Record_ {
  readonly acked: Set<string>;
  readonly unknown: Set<string>;
}

const WRITERS = 8;
const KEYS_A_WRITER = 24;
const PAUSE_MS = 3;

/** Each kind writes numbered members under a key, and reads back which are there. Some keys share a hash tag. */
const kinds = [
  { name: 'set', write: (n: number) => ['SADD', `m${n}`], read: ['SMEMBERS'] },
  { name: 'hash', write: (n: number) => ['HSET', `m${n}`, '1'], read: ['HKEYS'] },
  { name: 'zset', write: (n: number) => ['ZADD', n, `m${n}`], read: ['ZRANGE', 0, -1] },
  { name: 'list', write: (n: number) => ['RPUSH', `m${n}`], read: ['LRANGE', 0, -1] },
  { name: 'stream', write: (n: number) => ['XADD', `${n}-1`, 'm', `m${n}`], read: ['XRANGE', '-', '+'] },
  { name: 'counter', write: () => ['INCR'], read: ['GET'] },
] as const;

/** Writers that run until they are stopped; then everything is read back and compared. */
export function startLoad(login: Login) {
  let running = true;
  const records = new Map<string, Record_>();
  const refusals = new Map<string, number>();
  const writer = async (index: number): Promise<void> => {
    const client = createLoadClient(login);
    try {
      for (let n = 1; running; n++) {
        const which = Math.floor(Math.random() * KEYS_A_WRITER);
        const kind = kinds[which % kinds.length] ?? kinds[0];
        const key = which % 5 === 0 ? `{tag-${index % 3}}:${kind.name}:${index}:${which}` : `load:${kind.name}:${index}:${which}`;
        const record = records.get(key) ?? { acked: new Set(), unknown: new Set() };
        records.set(key, record);
        const [command = '', ...rest] = kind.write(n);
        const outcome = await client.call(String(command), key, ...rest);
        if (outcome.end === 'ok') record.acked.add(`m${n}`);
        else if (outcome.end === 'info') record.unknown.add(`m${n}`);
        else refusals.set(outcome.why.split(' ')[0] ?? '', (refusals.get(outcome.why.split(' ')[0] ?? '') ?? 0) + 1);
        await sleep(outcome.end === 'ok' ? PAUSE_MS : 50);
      }
    } finally {
      client.close();
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, index) => writer(index));
  return {
    /** Calls that were acknowledged so far. */
    acknowledged: () => [...records.values()].reduce((sum, { acked }) => sum + acked.size, 0),
    async stop(): Promise<Verdict> {
      running = false;
      await Promise.all(writers);
      return judge(
        login,
        records,
        [...refusals.values()].reduce((sum, one) => sum + one, 0),
      );
    },
  };
}

async function judge(login: Login, records: ReadonlyMap<string, Record_>, refused: number): Promise<Verdict> {
  const client = createLoadClient(login);
  const lost: string[] = [];
  const phantom: string[] = [];
  try {
    for (const [key, { acked, unknown }] of records) {
      const found = await membersOf(client, key);
      if (typeof found === 'number') {
        if (found < acked.size) lost.push(`${key}: counts ${found}, ${acked.size} were acknowledged`);
        if (found > acked.size + unknown.size) phantom.push(`${key}: counts ${found} of ${acked.size} and ${unknown.size}`);
        continue;
      }
      const members = new Set(found);
      lost.push(...[...acked].filter((member) => !members.has(member)).map((member) => `${key} ${member}`));
      phantom.push(...[...members].filter((member) => !acked.has(member) && !unknown.has(member)).map((member) => `${key} ${member}`));
      // In a list or a stream a write that happened twice is there twice.
      const again = found.filter((member, index) => found.indexOf(member) !== index && !unknown.has(member));
      phantom.push(...again.map((member) => `${key} ${member}, twice`));
    }
  } finally {
    client.close();
  }
  const sum = (of: (record: Record_) => number) => [...records.values()].reduce((total, record) => total + of(record), 0);
  return { acknowledged: sum(({ acked }) => acked.size), unknown: sum((record) => record.unknown.size), refused, lost, phantom };
}

async function membersOf(client: LoadClient, key: string): Promise<readonly string[] | number> {
  const kind = kinds.find(({ name }) => key.includes(`:${name}:`)) ?? kinds[0];
  const [command = '', ...rest] = kind.read;
  for (let attempt = 0; attempt < 50; attempt++) {
    const outcome = await client.call(String(command), key, ...rest);
    if (outcome.end !== 'ok') {
      await sleep(200);
      continue;
    }
    const { value } = outcome;
    if (kind.name === 'counter') return Number(value ?? 0);
    const list = Array.isArray(value) ? value : [];
    return list.map((item) => String(kind.name === 'stream' ? (item as unknown[][])[1]?.[1] : item));
  }
  throw new Error(`${key} cannot be read back`);
}
