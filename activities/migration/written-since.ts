import { setTimeout as sleep } from 'node:timers/promises';
import { log } from '@temporalio/activity';
import { systemUsers } from '../../config/names.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { parseInfo } from '../redis/parse.ts';
import { listItems, RawList, ReplyReader } from '../redis/protocol.ts';
import { type Wire, WireLost } from '../redis/wire.ts';
import { resumeAt, type StreamPosition } from '../replication/handshake.ts';
import { ReplicationLost, type ReplicationTarget } from '../replication/link.ts';
import { ReplicationNotNow } from '../replication/refusal.ts';
import { messageOf } from '../support/failure.ts';

/** More than is written in the seconds after a failover; a server that has written more is not asked. */
const MOST_BYTES = 64 * 1024 ** 2;
const SILENT_MS = 2000;
/** So often it is asked again when it does not take another follower now. */
const TRIES = 8;
const ASK_AGAIN_MS = 300;

export interface NamesToFind {
  /** Of keys, each byte as a character (latin1). */
  readonly names: ReadonlySet<string>;
  /** The stream of the one that led before: by its name alone it is known that there was one failover since, and not two. */
  readonly formerStream: string;
}

/**
 * Which names stand in what a promoted primary has passed on to its replicas since it took over, up to now: each command that has changed a key does so by its name. Read from its backlog, as a replica reads it.
 * @returns undefined when it was not promoted in the place of that one, or cannot tell: its backlog does not go back so far
 * @throws WireLost when it may be asked again
 */
export async function writtenSinceItLed(
  wire: Pick<Wire, 'one'>,
  { address, password, caCert }: NodeAddress,
  { names, formerStream }: NamesToFind,
): Promise<ReadonlySet<string> | undefined> {
  const target = { address, user: systemUsers.operator, password, ...(caCert === undefined ? {} : { caCert }) };
  for (let tries = 1; ; tries++) {
    const info = parseInfo(String(await wire.one('INFO', 'replication')));
    const number = (field: string) => Number(info.get(field) ?? 0);
    const [offset, to] = [number('second_repl_offset') - 1, number('master_repl_offset')];
    const reachesBack = info.get('repl_backlog_active') === '1' && number('repl_backlog_first_byte_offset') <= offset + 1;
    if (info.get('master_replid2') !== formerStream || offset < 0 || !reachesBack || to - offset > MOST_BYTES) return undefined;
    try {
      return await findNames(names, target, { replid: info.get('master_replid') ?? '', offset }, to - offset);
    } catch (error) {
      if (error instanceof ReplicationLost) throw new WireLost(error.message);
      if (!(error instanceof ReplicationNotNow) || tries === TRIES) {
        log.warn('what a promoted primary has written cannot be read', { address, why: messageOf(error) });
        return undefined;
      }
      await sleep(ASK_AGAIN_MS);
    }
  }
}

async function findNames(
  names: ReadonlySet<string>,
  target: ReplicationTarget,
  from: StreamPosition,
  bytes: number,
): Promise<ReadonlySet<string> | undefined> {
  const found = new Set<string>();
  let longest = 0;
  for (const { length } of names) longest = Math.max(longest, length);
  const { how, link } = await resumeAt(target, from, { stallMs: SILENT_MS });
  try {
    if (how !== 'continue') return undefined;
    const reader = new ReplyReader();
    for (let left = bytes; left > 0; ) {
      const chunk = await link.read(SILENT_MS);
      if (chunk === undefined) throw new ReplicationLost(`${target.address} says nothing of what it has written`);
      left -= chunk.length;
      reader.add(chunk);
      for (let command = reader.next(true); command !== undefined; command = reader.next(true)) {
        if (!(command instanceof RawList)) continue;
        for (const word of listItems(command)) {
          const text = word.length > longest ? '' : word.toString('latin1');
          if (names.has(text)) found.add(text);
        }
      }
    }
    return found;
  } finally {
    link.close();
  }
}
