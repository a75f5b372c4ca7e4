import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings, type Settings } from '../../config/settings.ts';
import { paths } from '../../scripts/setup/home.ts';
import { freePort, run, until } from './processes.ts';

/** An S3 server of the test's own, and a line to it that can be disturbed. */
export interface ObjectServer {
  readonly folder: string;
  /** Settings that lead to the server by way of the line. */
  readonly env: Readonly<Record<string, string>>;
  readonly settings: Settings;
  readonly line: Line;
  stop(): Promise<void>;
}

/** What stands between a client and the server. */
export interface Line {
  /** Connections that are open now. */
  readonly open: number;
  /** Bytes that went to the client. */
  readonly delivered: number;
  /** Lets no byte through, and closes nothing, until `resume`. */
  pause(): void;
  resume(): void;
  /** Breaks every connection. */
  cut(): void;
  /** Breaks the connection of the next request that has this in its head, when the server has answered, and before the client sees it. */
  loseAnswerTo(request: string): void;
}

export async function startObjectServer(): Promise<ObjectServer> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-s3-'));
  const [port, linePort] = [await freePort(), await freePort()];
  mkdirSync(join(folder, 's3'));
  const env = {
    HOLDFAST_S3_ENDPOINT: `http://127.0.0.1:${linePort}`,
    HOLDFAST_S3_ACCESS_KEY_ID: 'test',
    HOLDFAST_S3_SECRET_ACCESS_KEY: randomBytes(12).toString('hex'),
  };
  const server = run(paths.versitygw, ['--port', `127.0.0.1:${port}`, 'posix', join(folder, 's3')], {
    env: { ROOT_ACCESS_KEY: env.HOLDFAST_S3_ACCESS_KEY_ID, ROOT_SECRET_KEY: env.HOLDFAST_S3_SECRET_ACCESS_KEY },
    log: join(folder, 's3.log'),
  });
  await until('the object store listens', () => listens(port));
  const { line, close } = await startLine(linePort, port);
  return {
    folder,
    env,
    settings: readSettings(env),
    line,
    async stop() {
      close();
      await server.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

function couple(client: Socket, upstream: Socket): void {
  client.pipe(upstream);
  upstream.pipe(client);
}

/** A line of a test's own to a server that listens somewhere already. */
export async function startLine(from: number, to: number): Promise<{ readonly line: Line; close(): void }> {
  const pairs = new Map<Socket, Socket>();
  let delivered = 0;
  let paused = false;
  let lost: string | undefined;
  const server: Server = createServer((client) => {
    const upstream = connect(to, '127.0.0.1');
    pairs.set(client, upstream);
    const end = () => {
      pairs.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.once('close', end).once('error', end);
    let losing = false;
    client.on('data', (chunk) => {
      if (lost === undefined || !chunk.includes(lost)) return;
      losing = true;
      lost = undefined;
    });
    upstream.on('data', (chunk) => {
      if (losing) end();
      else delivered += chunk.length;
    });
    if (paused) for (const socket of [client, upstream]) socket.pause();
    else couple(client, upstream);
  });
  await new Promise<void>((resolve) => server.listen(from, '127.0.0.1', resolve));
  const each = (act: (socket: Socket) => void) => {
    for (const [client, upstream] of pairs) for (const socket of [client, upstream]) act(socket);
  };
  const line: Line = {
    get open() {
      return pairs.size;
    },
    get delivered() {
      return delivered;
    },
    pause() {
      if (paused) return;
      paused = true;
      each((socket) => socket.unpipe().pause());
    },
    resume() {
      if (!paused) return;
      paused = false;
      for (const [client, upstream] of pairs) couple(client, upstream);
    },
    cut: () => each((socket) => socket.destroy()),
    loseAnswerTo(request) {
      lost = request;
    },
  };
  return {
    line,
    close() {
      line.cut();
      server.close();
    },
  };
}
