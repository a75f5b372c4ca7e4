import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ports, systemUsers } from '../../config/names.ts';
import type { NodeAddress } from './connection.ts';
import { encodeCommand, type Reply, ReplyReader, ServerError, type Word } from './protocol.ts';

/**
 * A connection for moving data: commands go out in one write and their replies come back as they are, bytes that only pass through are
 * never taken apart. Everything else speaks through `withNode`. The RESP2 protocol is documented by the servers.
 */
export interface Wire {
  /** All in one write; replies in order. An error that the server answers is a reply, a ServerError, and not thrown. */
  ask(commands: readonly (readonly Word[])[], timeoutMs?: number): Promise<readonly Reply[]>;
  /** As `ask`, for commands that are encoded already. Lists in the replies are left in the server's encoding (RawList). */
  askRaw(encoded: readonly (string | Buffer)[], replies: number, timeoutMs?: number): Promise<readonly Reply[]>;
  /** One command; an error that the server answers is thrown. */
  one(...command: readonly Word[]): Promise<Reply>;
  /** Whether it can still be asked. */
  readonly alive: boolean;
  close(): void;
}

/** The connection broke, was refused, or an answer did not come in time. What was asked may have happened or not. */
export class WireLost extends Error {}

const CONNECT_MS = 3000;
const ANSWER_MS = 10_000;

interface Waiting {
  readonly count: number;
  readonly raw: boolean;
  readonly replies: Reply[];
  readonly resolve: (replies: readonly Reply[]) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Connects as the operator. @throws WireLost, or ServerError when the node refuses the operator. */
export async function openWire(target: NodeAddress): Promise<Wire> {
  const where = { host: target.address, port: ports.server };
  const socket: Socket = target.caCert === undefined ? connectTcp(where) : connectTls({ ...where, ca: target.caCert });
  socket.setNoDelay(true);
  const queue: Waiting[] = [];
  const reader = new ReplyReader();
  let broken: Error | undefined;

  const fail = (error: Error) => {
    broken ??= error instanceof WireLost ? error : new WireLost(`${target.address}: ${error.message}`);
    socket.destroy();
    for (const waiting of queue.splice(0)) {
      clearTimeout(waiting.timer);
      waiting.reject(broken);
    }
  };
  const take = () => {
    for (let waiting = queue[0]; waiting !== undefined; waiting = queue[0]) {
      while (waiting.replies.length < waiting.count) {
        const reply = reader.next(waiting.raw);
        if (reply === undefined) return;
        waiting.replies.push(reply);
      }
      clearTimeout(waiting.timer);
      queue.shift();
      waiting.resolve(waiting.replies);
    }
  };
  socket.on('data', (chunk: Buffer) => {
    reader.add(chunk);
    try {
      take();
    } catch (error) {
      fail(error instanceof Error ? error : new Error(String(error)));
    }
  });
  socket.on('error', fail);
  socket.on('close', () => fail(new WireLost(`${target.address}: the connection was closed`)));

  const send = (parts: readonly (string | Buffer)[], count: number, raw: boolean, timeoutMs: number): Promise<readonly Reply[]> =>
    new Promise((resolve, reject) => {
      if (broken !== undefined) {
        reject(broken);
        return;
      }
      const timer = setTimeout(() => fail(new WireLost(`${target.address}: no answer within ${timeoutMs} ms`)), timeoutMs);
      queue.push({ count, raw, replies: [], resolve, reject, timer });
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.uncork();
    });
  const ask: Wire['ask'] = (commands, timeoutMs = ANSWER_MS) =>
    commands.length === 0 ? Promise.resolve([]) : send(commands.map(encodeCommand), commands.length, false, timeoutMs);
  const one: Wire['one'] = async (...command) => {
    const [reply] = await ask([command]);
    if (reply instanceof ServerError) throw reply;
    return reply ?? null;
  };
  const wire: Wire = {
    ask,
    askRaw: (encoded, replies, timeoutMs = ANSWER_MS) => send(encoded, replies, true, timeoutMs),
    one,
    get alive() {
      return broken === undefined;
    },
    close: () => fail(new WireLost(`${target.address}: closed`)),
  };
  try {
    await ready(socket, target);
    await one('AUTH', systemUsers.operator, target.password);
  } catch (error) {
    wire.close();
    throw error;
  }
  return wire;
}

function ready(socket: Socket, { address, caCert }: NodeAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new WireLost(`${address}: no connection within ${CONNECT_MS} ms`)), CONNECT_MS);
    const settle = (act: () => void) => () => {
      clearTimeout(late);
      act();
    };
    socket.once(caCert === undefined ? 'connect' : 'secureConnect', settle(resolve));
    socket.once('error', (error) => settle(() => reject(new WireLost(`${address}: ${error.message}`)))());
    socket.once(
      'close',
      settle(() => reject(new WireLost(`${address}: the connection was closed`))),
    );
  });
}
