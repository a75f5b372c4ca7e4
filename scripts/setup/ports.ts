import { createServer } from 'node:net';

/** Whether 127.0.0.1 has this port free; 0 asks for any. Resolves to the port, or undefined when it is taken. */
function tryListen(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const got = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(got));
    });
  });
}

/** The first of the wanted ports that is free, else any free one. */
export async function freePort(...wanted: readonly number[]): Promise<number> {
  for (const port of [...wanted, 0]) {
    const got = await tryListen(port);
    if (got !== undefined) return got;
  }
  throw new Error('127.0.0.1 has no free port');
}
