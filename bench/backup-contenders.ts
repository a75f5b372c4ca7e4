import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
export const byPipe = (cli: string): Contender => ({
  name: 'valkey-cli --rdb -, plain',
  async run({ stack, cluster, replica, password }) {
    const prefix = `plain/${cluster}/`;
    const start = performance.now();
    const from = spawn(cli, ['-h', replica.address, '-p', `${ports.server}`, '--user', systemUsers.operator, '--rdb', '-'], {
      env: { ...process.env, REDISCLI_AUTH: password, VALKEYCLI_AUTH: password },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const to = spawn(process.execPath, [join(import.meta.dirname, 'plain-upload.ts'), `${prefix}${uniqueName()}`], {
      env: { ...process.env, ...stack.env },
      stdio: [from.stdout, 'pipe', 'inherit'],
    });
    const said = text(from.stderr);
    try {
      const [written, ...codes] = await Promise.all([text(to.stdout), codeOf(from), codeOf(to)]);
      if (codes.some((code) => code !== 0)) throw new Error(`it ended with ${codes.join(' and ')}: ${await said}`);
      return { tookMs: performance.now() - start, plainBytes: Number(written), storedBytes: Number(written) };
    } finally {
      await empty(stack, prefix);
    }
  },
});

const codeOf = (child: ReturnType<typeof spawn>): Promise<number | null> => new Promise((resolve) => child.once('close', resolve));

async function empty({ dependencies: { store } }: Stack, prefix: string): Promise<void> {
  for (const key of await store.list(prefix)) await store.remove(key);
}

/** The engine's CLI out of a node's container. @returns its path on this host */
export async function takeCli({ dependencies: { docker }, folder }: Stack, node: string): Promise<string> {
  const name = findEngineVersion('valkey', '9.1')?.cli ?? '';
  const path = (await runInContainer(docker, node, ['sh', '-c', `readlink -f "$(command -v ${name})"`]))?.trim() ?? '';
  const archive = await docker.getContainer(node).getArchive({ path });
  for await (const entry of Readable.from(archive).pipe(extract())) {
    const file = join(folder, name);
    writeFileSync(file, await buffer(entry), { mode: 0o755 });
    return file;
  }
  throw new Error(`${node} has no ${name}`);
}
