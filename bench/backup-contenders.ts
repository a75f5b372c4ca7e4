import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { extract } from 'tar-stream';
import { runInContainer } from '../activities/docker/containers.ts';
import { findEngineVersion } from '../config/engines.ts';
import { backupKeys, ports, systemUsers, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import type { OperationResult } from '../config/progress.ts';
import { uniqueName } from '../test/support/clusters.ts';
import type { Stack } from '../test/support/stack.ts';
import { residentMib } from './measure.ts';

/** A shard to back up. */
export interface Subject {
  readonly stack: Stack;
  readonly cluster: string;
  /** The node that every contender reads. */
  readonly replica: { readonly name: string; readonly address: string };
  readonly password: string;
  readonly workerPid: number;
}

export interface Turn {
  readonly tookMs: number;
  /** Bytes of the RDB, and of what lies in the bucket. */
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly workerMibBefore?: number;
  readonly workerMib?: number;
}

export interface Contender {
  readonly name: string;
  readonly run: (subject: Subject) => Promise<Turn>;
}

const SAMPLE_MS = 50;

/** The operation; what counts is the time until its last object is stored. Then every byte is read again. */
export const holdfast: Contender = {
  name: 'holdfast, sealed',
  async run({ stack, cluster, replica, workerPid }) {
    const workerMibBefore = residentMib(workerPid);
    let workerMib = workerMibBefore;
    const timer = setInterval(() => {
      workerMib = Math.max(workerMib, residentMib(workerPid));
    }, SAMPLE_MS);
    try {
      const { backup, plan } = (await stack.client.workflow.execute('backup', {
        taskQueue: WORKFLOW_TASK_QUEUE,
        workflowId: `bench/${cluster}/${uniqueName('backup')}`,
        args: [{ cluster, verify: 'checksum' }],
      })) as OperationResult;
      if (backup === undefined || plan.steps[0]?.change.includes(replica.name) !== true)
        throw new Error(`it was to read ${replica.name}: ${JSON.stringify(plan)}`);
      const { storedMs: tookMs, plainBytes, storedBytes } = backup;
      return { tookMs, plainBytes, storedBytes, workerMibBefore, workerMib };
    } finally {
      clearInterval(timer);
      await empty(stack, backupKeys.backups(cluster));
    }
  },
};

/** `valkey-cli --rdb -` on this host, out of the node's image, piped into an upload of what it writes, as it is. */
export const byPipe = (cli: readonly string[]): Contender => ({
  name: 'valkey-cli --rdb -, plain',
  async run({ stack, cluster, replica, password }) {
    const prefix = `plain/${cluster}/`;
    const start = performance.now();
    const reader = [...cli, '-h', replica.address, '-p', `${ports.server}`, '--user', systemUsers.operator, '--rdb', '-'];
    const uploader = [process.execPath, join(import.meta.dirname, 'plain-upload.ts'), `${prefix}${uniqueName()}`];
    const line = [reader, uploader].map((words) => words.map((word) => `'${word}'`).join(' ')).join(' | ');
    const piped = spawn('bash', ['-c', `set -o pipefail; ${line}`], {
      env: { ...process.env, ...stack.env, REDISCLI_AUTH: password, VALKEYCLI_AUTH: password },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      const ended = new Promise<number | null>((resolve) => piped.once('close', resolve));
      const [written, said, code] = await Promise.all([text(piped.stdout), text(piped.stderr), ended]);
      if (code !== 0) throw new Error(`it ended with ${code}: ${said}`);
      return { tookMs: performance.now() - start, plainBytes: Number(written), storedBytes: Number(written) };
    } finally {
      await empty(stack, prefix);
    }
  },
});

async function empty({ dependencies: { store } }: Stack, prefix: string): Promise<void> {
  for (const key of await store.list(prefix)) await store.remove(key);
}

/** The engine's CLI out of a node's container, with its libraries: this host may have others. @returns how it is called here */
export async function takeCli(stack: Stack, node: string): Promise<readonly string[]> {
  const { docker } = stack.dependencies;
  const name = findEngineVersion('valkey', '9.1')?.cli ?? '';
  const look = `real=$(readlink -f "$(command -v ${name})"); echo "$real"; ldd "$real" | grep -o '/[^ ]*'`;
  const paths = ((await runInContainer(docker, node, ['sh', '-c', look])) ?? '').trim().split(/\s*\n/);
  for (const path of paths) await takeFile(stack, node, path, join(stack.folder, basename(path)));
  const loader = paths.find((path) => basename(path).startsWith('ld-')) ?? '';
  return [join(stack.folder, basename(loader)), '--library-path', stack.folder, join(stack.folder, name)];
}

async function takeFile({ dependencies: { docker } }: Stack, node: string, path: string, to: string): Promise<void> {
  const real = (await runInContainer(docker, node, ['readlink', '-f', path]))?.trim() ?? path;
  const archive = await docker.getContainer(node).getArchive({ path: real });
  for await (const entry of Readable.from(archive).pipe(extract())) writeFileSync(to, await buffer(entry), { mode: 0o755 });
}
