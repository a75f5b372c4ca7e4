import { log } from '@temporalio/activity';
import { systemUsers } from '../../config/names.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { parseInfo } from '../redis/parse.ts';
import { ReplyReader } from '../redis/protocol.ts';
import { type Wire, WireLost } from '../redis/wire.ts';
import { resumeAt, type StreamPosition } from '../replication/handshake.ts';
import { ReplicationLost, type ReplicationTarget } from '../replication/link.ts';
import { ReplicationNotNow } from '../replication/refusal.ts';
import { messageOf } from '../support/failure.ts';

/** More than is written in the seconds after a failover; a server that has written more is not asked. */
const MOST_BYTES = 64 * 1024 ** 2;
const SILENT_MS = 2000;

/**
 * Which of these names stand in what a promoted primary has passed on to its replicas since it took over, up to now: each command that has changed a key does so by its name. Read from its backlog, as a replica reads it.
 * @param names each byte as a character (latin1)
 * @returns undefined when it was not promoted, or cannot tell: its backlog does not go back so far
 * @throws WireLost when it may be asked again
 */
export async function writtenSinceItLed(
  wire: Pick<Wire, 'one'>,
  { address, password, caCert }: NodeAddress,
  names: ReadonlySet<string>,
): Promise<ReadonlySet<string> | undefined> {
  const info = parseInfo(String(await wire.one('INFO', 'replication')));
  const number = (field: string) => Number(info.get(field) ?? 0);
  const [offset, to] = [number('second_repl_offset') - 1, number('master_repl_offset')];
  const reachesBack = info.get('repl_backlog_active') === '1' && number('repl_backlog_first_byte_offset') <= offset + 1;
  if (offset < 0 || !reachesBack || to - offset > MOST_BYTES) return undefined;
  const target = { address, user: systemUsers.operator, password, ...(caCert === undefined ? {} : { caCert }) };
  try {
    return await findNames(names, target, { replid: info.get('master_replid') ?? '', offset }, to - offset);
  } catch (error) {
    if (error instanceof ReplicationLost || error instanceof ReplicationNotNow) throw new WireLost(error.message);
    log.warn('what a promoted primary has written cannot be read', { address, why: messageOf(error) });
    return undefined;
  }
}

async function findNames(
  names: ReadonlySet<string>,
  target: ReplicationTarget,
  from: StreamPosition,
  bytes: number,
): Promise<ReadonlySet<string> | undefined> {
  const longest = Math.max(0, ...[...names].map(({ length }) => length));
  const found = new Set<string>();
  const { how, link } = await resumeAt(target, from);
  try {
    if (how !== 'continue') return undefined;
    const reader = new ReplyReader();
    for (let left = bytes; left > 0; ) {
      const chunk = await link.read(SILENT_MS);
      if (chunk === undefined) throw new ReplicationLost(`${target.address} says nothing of what it has written`);
      left -= chunk.length;
      reader.add(chunk);
      for (let command = reader.next(false); command !== undefined; command = reader.next(false)) {
        for (const word of Array.isArray(command) ? command : []) {
          if (!Buffer.isBuffer(word) || word.length > longest) continue;
          const text = word.toString('latin1');
          if (names.has(text)) found.add(text);
        }
      }
    }
    return found;
  } finally {
    link.close();
  }
}
