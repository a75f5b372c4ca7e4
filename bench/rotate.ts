import { readManifest } from '../activities/backup/catalogue.ts';
import { planRotation } from '../activities/rotation/survey.ts';
import { sideBySide } from '../activities/support/side-by-side.ts';
import { type BackupManifest, type BackupSummary, newBackupId } from '../config/backup.ts';
import { backupKeys, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import type { OperationResult } from '../config/progress.ts';
import { evenSlotRanges, formatRange } from '../model/slots.ts';
import { uniqueName } from '../test/support/clusters.ts';
import { type Stack, startStack } from '../test/support/stack.ts';
import { median, table, timed } from './measure.ts';

const BACKUPS = 1000;
const SHARDS = 3;
const ROUNDS = 7;
const TARGET_MS = 2000;
const SHA = '0'.repeat(64);

/** A history of 1,000 backups: what it takes to list it, and to say what of it stays, against reading one manifest after the other. */
export async function benchRotate(): Promise<void> {
  const stack = await startStack();
  const cluster = uniqueName();
  try {
    const manifests = Array.from({ length: BACKUPS }, (_, days) => manifestOf(cluster, Date.now() - days * 86_400_000));
    await sideBySide(manifests, 16, (manifest) => fill(stack, manifest));
    const { store } = stack.dependencies;
    const ways: Readonly<Record<string, () => Promise<unknown>>> = {
      'backup list, all of them': () => list(stack, cluster),
      'backup list, the newest 50': () => list(stack, cluster, 50),
      'backup rotate --dry-run': () => rotate(stack, cluster, true),
      'of that, reading and planning': () => planRotation(store, { cluster, graceSeconds: 86_400 }),
      'naive: one manifest after the other': () => naive(stack, cluster),
    };
    const times = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
    for (const way of Object.values(ways)) await way(); // the first ones warm the worker; they are not counted
    for (let round = 0; round < ROUNDS; round++) {
      for (const [name, way] of Object.entries(ways)) times.get(name)?.push(await timed(way));
      process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`);
    }
    const { plan } = await rotate(stack, cluster, true);
    const removing = await timed(() => rotate(stack, cluster, false));
    const left = (await list(stack, cluster)).length;

    const of = (name: string) => times.get(name) ?? [];
    const base = median(of('naive: one manifest after the other'));
    const rows = [...times].map(([name, its]) => [
      name,
      median(its).toFixed(0),
      Math.min(...its).toFixed(0),
      Math.max(...its).toFixed(0),
      (median(its) / base).toFixed(2),
    ]);
    console.log(`\n${BACKUPS} backups of ${SHARDS} shards, ${ROUNDS} rounds interleaved, in ms\n`);
    console.log(table([['', 'median', 'min', 'max', 'of naive'], ...rows]));
    console.log(
      `\nrotate that removes ${BACKUPS - left} of them, ${(BACKUPS - left) * (SHARDS + 2)} objects: ${removing.toFixed(0)} ms; ${left} stay (planned: ${plan.backups?.filter(({ stays }) => stays).length})`,
    );
    const met = Math.max(median(of('backup list, all of them')), median(of('backup rotate --dry-run'))) < TARGET_MS;
    console.log(`target: list and rotate below ${TARGET_MS} ms: ${met ? 'met' : 'MISSED'}\n`);
  } finally {
    await stack.stop();
  }
}

const run = <T>({ client }: Stack, type: string, input: object): Promise<T> =>
  client.workflow.execute(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: uniqueName(), args: [input] }) as Promise<T>;

const list = (stack: Stack, cluster: string, limit = BACKUPS) => run<readonly BackupSummary[]>(stack, 'listBackups', { cluster, limit });
const rotate = (stack: Stack, cluster: string, dryRun: boolean) => run<OperationResult>(stack, 'rotate', { cluster, dryRun });

async function naive({ dependencies: { store } }: Stack, cluster: string): Promise<void> {
  for (const key of await store.list(backupKeys.backups(cluster)))
    if (key.endsWith('/manifest.json')) await readManifest(store, cluster, key.split('/')[2] ?? '');
}

async function fill({ dependencies: { store } }: Stack, manifest: BackupManifest): Promise<void> {
  for (const { key } of [...manifest.shards, ...(manifest.acl === undefined ? [] : [manifest.acl])]) await store.put(key, 'sealed');
  await store.put(backupKeys.manifest(manifest.cluster, manifest.id), JSON.stringify(manifest, null, 2));
}

function manifestOf(cluster: string, startedMs: number): BackupManifest {
  const startedAt = new Date(startedMs).toISOString();
  const id = newBackupId(new Date(startedMs), '00000000');
  const server = { engine: 'valkey', version: '9.1.0' } as const;
  const object = (number: number) => ({
    id: String(number).padStart(32, '0'),
    kek: `000001-${'0'.repeat(16)}`,
    ...{ plainBytes: 6, plainSha256: SHA, storedBytes: 6, storedSha256: SHA },
  });
  const shards = evenSlotRanges(SHARDS).map((range, shard) => ({
    shard,
    key: backupKeys.shard(cluster, id, shard, '00000000'),
    object: object(shard),
    replid: 'a'.repeat(40),
    offset: startedMs,
    slots: formatRange(range),
    node: `${cluster}-${shard}-1`,
    server,
    ...{ database: 0, keys: 1, functions: 0, startedAt, tookMs: 1000 },
  }));
  return {
    format: 'holdfast-backup-1',
    id,
    cluster,
    clusterId: '00000000-0000-4000-8000-000000000001',
    generation: 1,
    spec: { name: cluster },
    startedAt,
    finishedAt: startedAt,
    shards,
    acl: { key: backupKeys.acl(cluster, id, '00000000'), object: object(SHARDS) },
    verified: { how: 'loaded', at: startedAt, tookMs: 1000, server, shards: shards.map(({ shard }) => ({ shard, keys: 1, functions: 0 })) },
  };
}
