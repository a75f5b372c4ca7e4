import { createServer, type Socket } from 'node:net';
import { ReplyReader } from '../../activities/redis/protocol.ts';
import type { ReplicationTarget } from '../../activities/replication/link.ts';

/** What a server does with a command that it takes: answers, sends whatever it likes, or ends the connection. */
export type Behaviour = (words: readonly string[], socket: Socket) => string | undefined;

/** A primary that does what a test tells it, for what real ones do not do on demand. It agrees to everything up to PSYNC. */
export async function startPrimary(behave: Behaviour) {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined); // clients go away in these tests
    const reader = new ReplyReader();
    socket.on('data', (chunk: Buffer) => {
      reader.add(chunk);
      for (let reply = reader.next(false); Array.isArray(reply); reply = reader.next(false)) {
        const words = reply.map(String);
        seen.push(words.join(' '));
        const usual = words[0] === 'PING' ? '+PONG' : words[1] === 'ACK' || words[0] === 'PSYNC' ? undefined : '+OK';
        const answer = behave(words, socket) ?? usual;
        if (answer !== undefined) socket.write(`${answer}\r\n`);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const target: ReplicationTarget = { address: '127.0.0.1', port: address.port, user: 'replication', password: 'secret' };
  return {
    target,
    /** Every command that came, in one line each. */
    seen,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
