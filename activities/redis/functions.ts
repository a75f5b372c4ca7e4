import { failures } from '../../config/failures.ts';
import type { ClusterNow } from '../migration/cluster-now.ts';
import { fatal } from '../support/failure.ts';
import { ServerError } from './protocol.ts';
import { openWire } from './wire.ts';

/**
 * Every primary without slots has the functions that those with slots have: a move of slots takes keys along, but no functions, and a call of
 * one would fail on a new shard. Safe to repeat.
 */
export async function copyFunctions({ shards, target }: ClusterNow): Promise<void> {
  const primaries = shards.flatMap(({ primary, slots }) => (primary === undefined ? [] : [{ primary, empty: slots.length === 0 }]));
  const source = primaries.find(({ empty }) => !empty)?.primary;
  const news = primaries.filter(({ empty }) => empty);
  if (source === undefined || news.length === 0) return;
  const from = await openWire(target(source));
  try {
    const dump = await from.one('FUNCTION', 'DUMP');
    if (!Buffer.isBuffer(dump)) return;
    for (const { primary } of news) {
      const to = await openWire(target(primary));
      try {
        const [reply] = await to.ask([['FUNCTION', 'RESTORE', dump, 'REPLACE']]);
        if (reply instanceof ServerError)
          throw fatal(failures.engineRefused, `${primary.name} does not take the functions of ${source.name}: ${reply.message}`);
      } finally {
        to.close();
      }
    }
  } finally {
    from.close();
  }
}
