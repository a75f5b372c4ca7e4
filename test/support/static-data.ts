import type { Cluster, Redis } from 'ioredis';

/** One of everything that a move of slots must carry along, and must not change. */
export const STATIC_KEYS = 600;

const EXPIRES_AT_MS = Date.parse('2040-01-01T00:00:00Z');
const binary = (i: number): Buffer => Buffer.from([0, 13, 10, 36, 255, i % 256, i >> 8, 0]);

/** A function that answers from any shard. */
export const LIBRARY = `#!lua name=moving
redis.register_function('moving_get', function(keys, args) return redis.call('GET', keys[1]) end)`;

export async function writeStaticData(app: Redis | Cluster): Promise<void> {
  await inPieces(async (i) => {
    await app.set(`text:${i}`, `value ${i}`);
    await app.callBuffer('SET', binary(i), binary(i + 1));
    await app.set(`expires:${i}`, i, 'PXAT', EXPIRES_AT_MS + i);
    if (i % 10 !== 0) return;
    await app.hset(`{of-${i}}:hash`, Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`field ${n}`, `${i}.${n}`])));
    await app.sadd(`{of-${i}}:set`, ...Array.from({ length: 50 }, (_, n) => `${i}.${n}`));
    await app.zadd(`{of-${i}}:sorted`, ...Array.from({ length: 20 }, (_, n) => [String(n), `${i}.${n}`]).flat());
    await app.rpush(`{of-${i}}:list`, ...Array.from({ length: 50 }, (_, n) => `${i}.${n}`));
    for (let n = 1; n <= 5; n++) await app.xadd(`{of-${i}}:stream`, `${n}-1`, 'n', `${i}.${n}`);
    await app.xgroup('CREATE', `{of-${i}}:stream`, 'readers', '3-0');
  });
}

/** What is not as it was written; empty when all is. */
export async function findChanges(app: Redis | Cluster): Promise<readonly string[]> {
  const changes: string[] = [];
  const expect = (what: string, found: unknown, wanted: unknown) => {
    if (JSON.stringify(found) !== JSON.stringify(wanted)) changes.push(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  };
  await inPieces(async (i) => {
    expect(`text:${i}`, await app.get(`text:${i}`), `value ${i}`);
    expect(`binary ${i}`, await app.getBuffer(binary(i)), binary(i + 1));
    // MIGRATE sends what is left of a key's time: it ends later by the milliseconds that the way takes.
    const late = Number(await app.call('PEXPIRETIME', `expires:${i}`)) - EXPIRES_AT_MS - i;
    expect(`expires:${i}`, late >= 0 && late < 10_000, true);
    expect(`function on text:${i}`, await app.fcall('moving_get', 1, `text:${i}`), `value ${i}`);
    if (i % 10 !== 0) return;
    expect(`hash ${i}`, (await app.hgetall(`{of-${i}}:hash`))['field 49'], `${i}.49`);
    expect(`hash ${i} size`, await app.hlen(`{of-${i}}:hash`), 50);
    expect(`set ${i}`, await app.scard(`{of-${i}}:set`), 50);
    expect(`sorted ${i}`, await app.zrange(`{of-${i}}:sorted`, '18', '19'), [`${i}.18`, `${i}.19`]);
    expect(`list ${i}`, await app.lrange(`{of-${i}}:list`, 48, 49), [`${i}.48`, `${i}.49`]);
    expect(`stream ${i}`, await app.xlen(`{of-${i}}:stream`), 5);
    const [group] = (await app.xinfo('GROUPS', `{of-${i}}:stream`)) as unknown[][];
    expect(`group ${i}`, group?.[group.indexOf('last-delivered-id') + 1], '3-0');
  });
  return changes;
}

async function inPieces(work: (i: number) => Promise<void>): Promise<void> {
  for (let at = 0; at < STATIC_KEYS; at += 50)
    await Promise.all(Array.from({ length: Math.min(50, STATIC_KEYS - at) }, (_, i) => work(at + i)));
}
