import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';

export const VALUE_BYTES = 4000;
const POOL_BYTES = 32 * 1024 ** 2;
const BATCH = 250;

export type Kind = 'text' | 'random';

/** Records as applications write them, about four to one; or what does not compress at all. Longer than any compressor looks back. */
export function poolOf(kind: Kind, poolBytes = POOL_BYTES): Buffer {
  if (kind === 'random') return randomBytes(poolBytes);
  const words = Array.from({ length: 2000 }, () =>
    randomBytes(4)
      .toString('hex')
      .slice(0, 3 + Math.floor(Math.random() * 6)),
  );
  const word = () => words[Math.floor(Math.random() ** 2 * words.length)] ?? '';
  const lines: string[] = [];
  for (let length = 0; length < poolBytes; length += lines.at(-1)?.length ?? 0)
    lines.push(
      `{"id":${Math.floor(Math.random() * 1e9)},"name":"${word()} ${word()}","state":"${word()}","score":${Math.random().toFixed(3)},"tags":["${word()}","${word()}"],"note":"${word()} ${word()} ${word()} ${word()} ${word()}"}`,
    );
  return Buffer.from(lines.join(''));
}

export const keyOf = (index: number): string => `key:${index}`;

/** @returns how a value is made, for those who write on */
export async function fillWith(redis: Redis, kind: Kind, keys: number): Promise<() => Buffer> {
  const pool = poolOf(kind);
  const value = () => {
    const at = Math.floor(Math.random() * (pool.length - VALUE_BYTES));
    return pool.subarray(at, at + VALUE_BYTES);
  };
  let before: Promise<unknown> = Promise.resolve();
  for (let at = 0; at < keys; at += BATCH) {
    const batch = redis.pipeline();
    for (let i = at; i < Math.min(keys, at + BATCH); i++) batch.set(keyOf(i), value());
    await before; // one is under way while the next is put together
    before = batch.exec();
  }
  await before;
  return value;
}
