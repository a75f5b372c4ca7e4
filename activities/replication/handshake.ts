import { failures } from '../../config/failures.ts';
import type { Word } from '../redis/protocol.ts';
import { fatal } from '../support/failure.ts';
import { openLink, type ReplicationLink, ReplicationLost, type ReplicationTarget } from './link.ts';
import { type RdbStream, rdbStream } from './rdb-stream.ts';
import { refusal } from './refusal.ts';

/** A place in a stream of writes. */
export interface StreamPosition {
  /** The replication id: the stream's name, 40 hex digits. */
  readonly replid: string;
  /** How many bytes of it came before. */
  readonly offset: number;
  /** The database that is selected there, when it is known: the server does not say it again. */
  readonly db?: number | undefined;
}

/** The server begins anew: its data as an RDB, and from `offset` on the stream. */
export interface FullSync extends StreamPosition {
  readonly how: 'full';
  /** Must be read to its end before the stream can be followed. */
  readonly rdb: RdbStream;
  readonly link: ReplicationLink;
}

/** The server goes on right after `offset`. */
export interface Continued extends StreamPosition {
  readonly how: 'continue';
  /** After a failover the stream goes on under another id; offsets go on counting. From now on this one must be asked for. */
  readonly renamed: boolean;
  readonly link: ReplicationLink;
}

export type Synced = FullSync | Continued;

export interface HandshakeOptions {
  /** Where to go on; without it the server begins anew. */
  readonly from?: StreamPosition;
  /**
   * Nothing but the RDB: the server keeps no writes for us meanwhile, and the connection is closed at the end of it. To have the stream as well, begin to
   * follow it first, at the offset that INFO tells, and take the RDB by itself: its offset is a place in that stream.
   * @default false
   */
  readonly rdbOnly?: boolean;
  /** How long the server may say nothing. Before it forks it waits for other children (AOF rewrite), with a line feed now and then. @default 60,000 */
  readonly stallMs?: number;
  /** Ends the connection whenever it is aborted. */
  readonly signal?: AbortSignal;
}

/**
 * The highest version there can be; other servers than Valkey refuse to hear it, which changes nothing. It is told for an RDB alone:
 * - Valkey takes a replica that tells none for old, and fails to make an RDB for it of what the old cannot read, such as hash fields that expire (9.0).
 * - With every replica that has told one, Valkey (8.0) makes each CLUSTER SETSLOT wait until it has acknowledged, and answers NOREPLICAS after two seconds. A
 *   follower acknowledges what is durable, which takes longer: it would stop slots from moving.
 */
const NEWEST_VERSION = '255.255.255';
const STALL_MS = 60_000;

/**
 * Connects and asks for the server's data or stream as a replica does: AUTH, PING, REPLCONF, PSYNC. It announces port 0, by which it can be told from
 * real replicas, though the server counts it among them (connected_slaves, WAIT, min-replicas-to-write).
 * The protocol is described with PSYNC and REPLCONF in the servers' documentation, and in their replication.c.
 * @throws ReplicationLost or ReplicationNotNow when it may be tried again; EngineRefused when the user may not, or it is no server of this kind
 */
export async function handshake(target: ReplicationTarget, options: HandshakeOptions = {}): Promise<Synced> {
  const { from, rdbOnly = false, stallMs = STALL_MS, signal } = options;
  const link = await openLink(target, signal);
  const ask = async (...words: readonly Word[]): Promise<string> => {
    link.send(...words);
    return readLine(link, stallMs, String(words[0]));
  };
  const must = async (...words: readonly Word[]): Promise<string> => {
    const line = await ask(...words);
    if (!line.startsWith('+')) throw refusal(line, link.address, `answer ${words[0]}`);
    return line;
  };
  try {
    await must('AUTH', target.user, target.password);
    await must('PING');
    await must('REPLCONF', 'listening-port', 0);
    await must('REPLCONF', 'capa', 'eof', 'capa', 'psync2');
    if (rdbOnly) {
      await ask('REPLCONF', 'version', NEWEST_VERSION);
      // Before 7.0 the server does not know it, and keeps writes for us until the connection is closed at the end of the RDB.
      await ask('REPLCONF', 'rdb-only', 1);
    }
    const line = from === undefined ? await must('PSYNC', '?', -1) : await must('PSYNC', from.replid, from.offset + 1);
    return answered(line, from, link, { rdbOnly, stallMs });
  } catch (error) {
    link.close();
    throw error;
  }
}

/**
 * Goes on after `position`. The answer is `full` when the server cannot: the position has left its backlog, belongs to another stream, lies beyond
 * a failover, or this replica has not come that far yet. The stream is broken there unless another node can go on. Whoever does not want
 * the new RDB closes the link at once, and the server ends the child that it has started for it.
 */
export const resumeAt = (
  target: ReplicationTarget,
  position: StreamPosition,
  options: Omit<HandshakeOptions, 'from' | 'rdbOnly'> = {},
): Promise<Synced> => handshake(target, { ...options, from: position });

function answered(
  line: string,
  from: StreamPosition | undefined,
  link: ReplicationLink,
  { rdbOnly, stallMs }: { readonly rdbOnly: boolean; readonly stallMs: number },
): Synced {
  const [, replid, offset] = /^\+FULLRESYNC ([0-9a-f]{40}) (\d{1,15})$/i.exec(line) ?? [];
  if (replid !== undefined) return { how: 'full', replid, offset: Number(offset), rdb: rdbStream(link, { stallMs, rdbOnly }), link };
  const continues = /^\+CONTINUE(?: ([0-9a-f]{40}))?$/i.exec(line);
  if (continues !== null && from !== undefined) {
    const id = continues[1] ?? from.replid;
    return { how: 'continue', replid: id, offset: from.offset, db: from.db, renamed: id !== from.replid, link };
  }
  throw fatal(
    failures.engineRefused,
    `${link.address} answers PSYNC with "${line}". Next: is it a Redis or Valkey server of the catalogue?`,
  );
}

const [LF, LONGEST_LINE] = [10, 1024];

/** One line of an answer, without its end; line feeds before it only keep the connection alive. */
async function readLine(link: ReplicationLink, stallMs: number, command: string): Promise<string> {
  let head = Buffer.alloc(0);
  for (;;) {
    const chunk = await link.read(stallMs);
    if (chunk === undefined)
      throw new ReplicationLost(
        `${link.address} did not answer ${command} within ${stallMs} ms. Ask again; if it stays silent, its log says what it is doing`,
      );
    head = Buffer.concat([head, chunk]);
    let start = 0;
    while (head[start] === LF) start++;
    head = head.subarray(start);
    const end = head.indexOf('\r\n');
    if (end < 0 && head.length <= LONGEST_LINE) continue;
    if (end >= 0) link.unread(head.subarray(end + 2));
    return head.toString('latin1', 0, end < 0 ? LONGEST_LINE : end);
  }
}
