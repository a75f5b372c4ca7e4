import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { labels } from '../../config/names.ts';
import { until } from './processes.ts';

/** A way to the engine that can be cut, in place of an engine that goes away. */
export interface EngineProxy {
  /** For HOLDFAST_DOCKER_HOST. */
  readonly url: string;
  /** Cuts what is open and refuses what comes. */
  cut(): Promise<void>;
  /** Lets everybody through again. */
  mend(): Promise<void>;
}

const ENGINE = '/var/run/docker.sock';

/** Listens on a socket in the folder. */
export async function startEngineProxy(folder: string): Promise<EngineProxy> {
  const path = join(folder, 'engine.sock');
  const open = new Set<Socket>();
  let server: Server | undefined;
  const pass = (from: Socket) => {
    const to = connect(ENGINE);
    for (const [end, other] of [
      [from, to],
      [to, from],
    ] as const) {
      open.add(end);
      end.on('error', () => other.destroy());
      end.on('close', () => {
        open.delete(end);
        other.destroy();
      });
      end.pipe(other);
    }
  };
  const mend = async () => {
    rmSync(path, { force: true });
    const listening = createServer({ allowHalfOpen: true }, pass);
    server = listening;
    await new Promise<void>((resolve, reject) => {
      listening.once('error', reject);
      listening.listen(path, resolve);
    });
  };
  await mend();
  return {
    url: `unix://${path}`,
    async cut() {
      const closing = server;
      const closed = new Promise((resolve) => closing?.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
    mend,
  };
}

const PID_FILE = '/var/run/docker.pid';

/**
 * Why the real engine must not be restarted now, or undefined when it may: it was started by hand, as this user, and no container runs on it
 * but those of the cluster.
 */
export async function reasonNotToRestart(docker: Docker, cluster: string): Promise<string | undefined> {
  let commandLine: string;
  try {
    commandLine = readFileSync(`/proc/${readFileSync(PID_FILE, 'utf8').trim()}/cmdline`, 'utf8');
  } catch (error) {
    return `its process cannot be found: ${String(error)}`;
  }
  if (!commandLine.includes('dockerd')) return `${PID_FILE} names ${commandLine}`;
  if (process.getuid?.() !== 0) return 'this needs root';
  const others = (await docker.listContainers()).filter((container) => container.Labels[labels.cluster] !== cluster);
  return others.length === 0 ? undefined : `containers of others run on it: ${others.map(({ Names }) => Names[0]?.slice(1)).join(', ')}`;
}

/** Ends the engine and starts it again with its own arguments, in the background. */
export async function restartEngine(docker: Docker): Promise<void> {
  const pid = Number(readFileSync(PID_FILE, 'utf8'));
  const [command = 'dockerd', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  process.kill(pid, 'SIGTERM');
  await until('the engine has ended', async () => !isAlive(pid), 60_000);
  const engine: ChildProcess = spawn(command, args, { detached: true, stdio: 'ignore' });
  engine.unref();
  await until(
    'the engine answers again',
    () =>
      docker.ping().then(
        () => true,
        () => false,
      ),
    60_000,
  );
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
