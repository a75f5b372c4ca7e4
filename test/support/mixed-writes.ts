import type { Word } from '../../activities/redis/protocol.ts';
import { clockCommand } from '../../activities/replication/clock.ts';
import type { ShardNode } from './lone-shard.ts';

/** Writes of many kinds, and the time with each batch. @returns how many were refused, which a failover excuses */
export async function writeMixed({ redis }: ShardNode, count: number, mode: 'cluster' | 'sentinel'): Promise<number> {
  const any = (most: number) => Math.floor(Math.random() * most);
  let refused = 0;
  for (let done = 0; done < count; done += 500) {
    const batch = redis.pipeline();
    const add = ([name = '', ...words]: readonly Word[]) => batch.call(name as string, ...words);
    if (mode === 'sentinel') add(['SELECT', any(2) * 3]);
    add(clockCommand('t'));
    for (let i = 0; i < 500; i++) {
      const [key, value] = [`key:${any(20_000)}`, `${Math.random()}`.repeat(1 + any(3))];
      const kind = any(20);
      if (kind < 10) add(['SET', key, value]);
      else if (kind < 12) add(['INCR', `count:${any(100)}`]);
      else if (kind < 14) add(['HSET', `hash:${any(1000)}`, `field${any(20)}`, value]);
      else if (kind < 15) add(['RPUSH', `list:${any(100)}`, value, key]);
      else if (kind < 16) add(['DEL', key]);
      else if (kind < 17) add(['SET', `brief:${any(1000)}`, value, 'PX', 3_600_000]);
      else if (kind < 18) add(['SPOP', `set:${any(100)}`]);
      else if (kind < 19) add(['SADD', `set:${any(100)}`, value]);
      else for (const words of [['MULTI'], ['SET', `{tx}${any(10)}`, value], ['INCR', '{tx}count'], ['EXEC']]) add(words);
    }
    for (const [error] of (await batch.exec()) ?? []) if (error !== null) refused++;
  }
  if (mode === 'sentinel') await redis.select(0);
  return refused;
}
