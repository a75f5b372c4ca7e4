import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ports } from '../../config/names.ts';
import { encodeCommand, type Word } from '../redis/protocol.ts';
import { madeLeftovers } from '../support/leftovers.ts';

/** A server to speak to as a replica does, and the user to do it as. */
export interface ReplicationTarget {
  readonly address: string;
  /** @default the port of every data node */
  readonly port?: number;
  readonly user: string;
  readonly password: string;
  /** The cluster's CA, when it uses TLS. */
  readonly caCert?: string;
}

/**
 * The connection to the server broke, was refused, or said nothing for too long. It passes: what was handed out before is good, and one may
 * connect again and go on from there.
 */
export class ReplicationLost extends Error {}

/** A connection that speaks the replica's side of the replication protocol: few short commands go out, and a great many bytes come in. */
export interface ReplicationLink {
  /** Where it leads, for messages. */
  readonly address: string;
  /**
   * The next bytes, as they came; undefined when none came in time. While nobody reads, the socket is paused and the server has to wait.
   * @throws ReplicationLost when the connection has ended and everything that came before was read.
   */
  read(timeoutMs: number): Promise<Buffer | undefined>;
  /** Gives bytes back that were read: the next `read` returns them. */
  unread(bytes: Buffer): void;
  /** Sends a command. A connection that has ended takes it and does nothing: the next `read` tells. */
  send(...words: readonly Word[]): void;
  close(): void;
}

const CONNECT_MS = 3000;
/** What may lie here unread: beyond it the socket is paused. The sockets of both sides buffer a few MiB more. */
const QUEUE_BYTES = 1 << 20;

/** Connects; `signal` closes the link whenever it is aborted. @throws ReplicationLost */
export async function openLink(target: ReplicationTarget, signal?: AbortSignal): Promise<ReplicationLink> {
  const { address, caCert } = target;
  signal?.throwIfAborted();
  const where = { host: address, port: target.port ?? ports.server };
  const socket: Socket = caCert === undefined ? connectTcp(where) : connectTls({ ...where, ca: caCert });
  socket.setNoDelay(true);
  // A peer that vanished without a word is noticed even where nothing is read or written for long.
  socket.setKeepAlive(true, 10_000);
  const queue: Buffer[] = [];
  let queued = 0;
  let ended: Error | undefined;
  let wake: (() => void) | undefined;

  const end = (error: Error) => {
    ended ??= error;
    socket.destroy();
    wake?.();
  };
  const lost = (why: string) =>
    end(new ReplicationLost(`the replication link to ${address} ended: ${why}. Connect again and go on from there`));
  /** Ended from here: what was not read yet is of no use to anybody. */
  const drop = () => {
    queue.length = 0;
    queued = 0;
  };
  const aborted = () => {
    end(signal?.reason instanceof Error ? signal.reason : new Error(String(signal?.reason)));
    drop();
  };
  signal?.addEventListener('abort', aborted, { once: true });
  socket.on('error', (error) => lost(error.message));
  socket.on('close', () => {
    signal?.removeEventListener('abort', aborted);
    lost('the connection was closed');
  });

  try {
    await connected(socket, caCert === undefined ? 'connect' : 'secureConnect');
  } catch (error) {
    lost(error instanceof Error ? error.message : String(error));
    throw ended ?? error;
  }
  socket.on('data', (chunk: Buffer) => {
    madeLeftovers(chunk.length);
    queue.push(chunk);
    queued += chunk.length;
    if (queued >= QUEUE_BYTES) socket.pause();
    wake?.();
  });

  const next = (): Buffer | undefined => {
    const chunk = queue.shift();
    if (chunk === undefined) return undefined;
    queued -= chunk.length;
    if (queued < QUEUE_BYTES && socket.isPaused()) socket.resume();
    return chunk;
  };
  return {
    address,
    async read(timeoutMs) {
      const there = next();
      if (there !== undefined) return there;
      if (ended !== undefined) throw ended;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      wake = undefined;
      const came = next();
      if (came === undefined && ended !== undefined) throw ended;
      return came;
    },
    unread(bytes) {
      if (bytes.length === 0) return;
      queue.unshift(bytes);
      queued += bytes.length;
    },
    send(...words) {
      if (ended === undefined) socket.write(encodeCommand(words));
    },
    close() {
      lost('it was closed here');
      drop();
    },
  };
}

function connected(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`no connection within ${CONNECT_MS} ms`)), CONNECT_MS);
    const settle = (act: () => void) => {
      clearTimeout(late);
      act();
    };
    socket.once(event, () => settle(resolve));
    socket.once('error', (error) => settle(() => reject(error)));
    socket.once('close', () => settle(() => reject(new Error('the connection was closed'))));
  });
}
