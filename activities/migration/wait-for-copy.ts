import { onlineReplicas, parseInfo } from '../redis/parse.ts';
import type { Reply, Word } from '../redis/protocol.ts';

/**
 * WAIT for one replica, and for no archiver: servers count everybody who follows. So what the replicas themselves have acknowledged is compared with where the stream was after the writes. To be asked
 * right behind them, in one go on the same connection.
 */
export const waitForCopy = (withinMs: number): readonly (readonly Word[])[] => [
  ['INFO', 'replication'],
  ['WAIT', 1, withinMs],
  ['INFO', 'replication'],
];

/** Whether a replica has the writes, by the answers to `waitForCopy`; false also when nobody can say. */
export function isCopied([before, waited, after]: readonly Reply[]): boolean {
  if (!(Number(waited) > 0)) return false;
  const offset = Number(parseInfo(String(before)).get('master_repl_offset') ?? Number.NaN);
  return onlineReplicas(parseInfo(String(after))).some((replica) => replica.offset >= offset);
}
