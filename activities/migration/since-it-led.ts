import { systemUsers } from '../../config/names.ts';
import type { NodeAddress } from '../redis/connection.ts';
import { parseInfo } from '../redis/parse.ts';
import { type Wire, WireLost } from '../redis/wire.ts';
import { resumeAt, type StreamPosition } from '../replication/handshake.ts';
import { ReplicationLost, type ReplicationTarget } from '../replication/link.ts';
import { ReplicationNotNow } from '../replication/refusal.ts';

/** More than is written in the seconds after a failover; whoever writes more is not read to the end. */
const MOST_BYTES = 64 * 1024 ** 2;
const SILENT_MS = 2000;

/**
 * What a promoted primary has passed on to its replicas since it took over, up to now: each command that has changed a key stands in it, with the key's name. Read from its backlog, as a replica does.
 * @returns undefined when it was not promoted, or cannot tell: its backlog does not go back so far
 * @throws WireLost when it may be asked again
 */
export async function sinceItLed(wire: Pick<Wire, 'one'>, { address, password, caCert }: NodeAddress): Promise<Buffer | undefined> {
  const info = parseInfo(String(await wire.one('INFO', 'replication')));
  const number = (field: string) => Number(info.get(field) ?? 0);
  const [offset, to] = [number('second_repl_offset') - 1, number('master_repl_offset')];
  const reachesBack = info.get('repl_backlog_active') === '1' && number('repl_backlog_first_byte_offset') <= offset + 1;
  if (offset < 0 || !reachesBack || to - offset > MOST_BYTES) return undefined;
  const target = { address, user: systemUsers.operator, password, ...(caCert === undefined ? {} : { caCert }) };
  try {
    return await readStream(target, { replid: info.get('master_replid') ?? '', offset }, to - offset);
  } catch (error) {
    if (error instanceof ReplicationLost || error instanceof ReplicationNotNow) throw new WireLost(error.message);
    throw error;
  }
}

async function readStream(target: ReplicationTarget, from: StreamPosition, bytes: number): Promise<Buffer | undefined> {
  const { how, link } = await resumeAt(target, from);
  try {
    if (how !== 'continue') return undefined;
    const chunks: Buffer[] = [];
    for (let left = bytes; left > 0; ) {
      const chunk = await link.read(SILENT_MS);
      if (chunk === undefined) throw new ReplicationLost(`${target.address} says nothing of what it has written`);
      chunks.push(chunk);
      left -= chunk.length;
    }
    return Buffer.concat(chunks);
  } finally {
    link.close();
  }
}
