import type Docker from 'dockerode';
import { createEngine, engineFailure } from '../activities/docker/engine.ts';
import { type Credentials, createSecretStore } from '../activities/secrets/secret-store.ts';
import { createObjectStore } from '../activities/storage/object-store.ts';
import type { Settings } from '../config/settings.ts';

/**
 * What a client needs to connect to a cluster; for a person who may read the bucket and has the master key. `env:` and `file:` secrets are read
 * where this runs, which need not be where a worker does: users whose password is not found here are told apart.
 * @throws SecretMissing, WrongMasterKey, StoreUnreachable
 */
export async function openCredentials(settings: Settings, cluster: string): Promise<Credentials> {
  const store = createObjectStore(settings);
  try {
    return await createSecretStore(settings, store, process.env).readCredentials(cluster);
  } finally {
    store.close();
  }
}

export interface EngineCli {
  readonly container: string;
  readonly command: readonly string[];
  /** Goes by the environment of the one process: a command line can be read by others. */
  readonly password: string;
}

/**
 * Runs the engine's CLI in a node's container on this terminal, until it ends. @returns its exit code
 * @throws HostUnreachable, EngineRefused
 */
export async function openEngineCli(settings: Settings, cli: EngineCli): Promise<number> {
  const docker = createEngine(settings);
  const { exec, stream } = await startExec(docker, cli).catch((error: unknown) => {
    throw engineFailure(error, `open the CLI in ${cli.container}`);
  });
  const { stdin, stdout } = process;
  const resize = () => fitTerminal(exec, stdout);
  stdin.setRawMode(true);
  stdin.pipe(stream);
  stream.pipe(stdout, { end: false });
  stdout.on('resize', resize);
  resize();
  try {
    await new Promise<void>((resolve, reject) => {
      stream.once('end', resolve);
      stream.once('close', resolve);
      stream.once('error', reject);
    });
  } finally {
    stdout.off('resize', resize);
    stdin.unpipe(stream);
    stdin.setRawMode(false);
    stdin.pause();
  }
  return (await exec.inspect()).ExitCode ?? 0;
}

async function startExec(docker: Docker, { container, command, password }: EngineCli) {
  const exec = await docker.getContainer(container).exec({
    // A CLI that begins before its terminal has a size asks the terminal where its cursor is, and waits for the answer.
    Cmd: ['sh', '-c', 'stty rows "$1" cols "$2" 2>/dev/null; shift 2; exec "$@"', 'sh', ...sizeOf(process.stdout).map(String), ...command],
    // Valkey's CLI reads its own name first and, in some versions, only the other.
    Env: [`REDISCLI_AUTH=${password}`, `VALKEYCLI_AUTH=${password}`],
    Tty: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  return { exec, stream: await exec.start({ hijack: true, stdin: true, Tty: true }) };
}

function fitTerminal(exec: Docker.Exec, stdout: NodeJS.WriteStream): void {
  const [h, w] = sizeOf(stdout);
  exec.resize({ h, w }).catch(() => undefined); // the wrong width is no reason to end the session
}

/** Rows and columns. */
const sizeOf = ({ rows, columns }: NodeJS.WriteStream): readonly [number, number] => [rows ?? 24, columns ?? 80];
