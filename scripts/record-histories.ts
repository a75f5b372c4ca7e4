import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { Client, type WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { readArchive } from '../activities/archive/read-archive.ts';
import { archiveWorkflowId, keeperWorkflowId, lockWorkflowId, WORKFLOW_TASK_QUEUE } from '../config/names.ts';
import { type OperationResult, operationHandlers, type Progress } from '../config/progress.ts';
import { sweep, testSpec } from '../test/support/clusters.ts';
import { until } from '../test/support/processes.ts';
import { startStack } from '../test/support/stack.ts';
import { checkout, home } from './setup/home.ts';

const folder = join(checkout, 'test', 'replay', 'histories');
const RECORDER = 'record-histories';
const clusters = ['golden', 'golden-restored', 'golden-sentinel', 'golden-cancelled', 'golden-failed'] as const;

/** `node scripts/record-histories.ts backup`: only those whose names begin so, and what they stand on. All, without a name. */
const chosen = process.argv.slice(2);
const wanted = (name: string) => chosen.length === 0 || chosen.some((start) => name.startsWith(start));
const FOUNDATIONS = new Set(['provision-cluster', 'provision-sentinel', 'backup']);

/**
 * Runs every workflow once on real parts and writes down what Temporal remembers of it. The replay tests hold today's workflow code against
 * these: code that would act otherwise on one of them would break every operation that runs while Holdfast is updated.
 */
async function record(): Promise<void> {
  const stack = await startStack();
  const client = new Client({ connection: stack.client.connection, identity: RECORDER });
  const histories = new Map<string, string>();
  const keep = async (name: string, handle: WorkflowHandle) => {
    if (!wanted(name)) return;
    histories.set(name, scrub(historyToJSON(await handle.fetchHistory()), handle.workflowId));
    process.stdout.write(`${name}\n`);
  };
  const start = (name: string, type: string, input: unknown) =>
    client.workflow.start(type, { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: `golden/${name}`, args: [input] });
  /** Waits for its end, however that is, and keeps it. */
  const run = async (name: string, type: string, input: unknown, meanwhile?: (handle: WorkflowHandle) => Promise<unknown>) => {
    if (!wanted(name) && !FOUNDATIONS.has(name)) return;
    const handle = await start(name, type, input);
    await meanwhile?.(handle);
    await handle.result().catch(() => undefined); // some are meant to fail
    await keep(name, handle);
  };
  const progress = (handle: WorkflowHandle, so: (now: Progress) => boolean) => () =>
    handle.query<Progress>(operationHandlers.progress).then(so, () => false);

  const runs = (step: string) => (handle: WorkflowHandle) =>
    progress(handle, (now) => now.steps.some(({ name, state }) => name === step && state === 'running'));

  try {
    const [cluster, restored, sentinel, cancelled, failed] = clusters;
    // The second verified backup lets the first one go.
    const backup = { retention: { daily: 1, weekly: 0, monthly: 0 } };
    const spec = testSpec(cluster, { backup });
    await run('provision-dry-run', 'provision', { spec, dryRun: true });
    await run('provision-cluster', 'provision', { spec, approval: {} }, async (handle) => {
      await until(
        'it waits for approval',
        progress(handle, (now) => now.stage === 'approval'),
      );
      await handle.executeUpdate(operationHandlers.approve, { args: [{ by: RECORDER }] });
    });
    await keep('lock', client.workflow.getHandle(lockWorkflowId(cluster)));
    await run('provision-unchanged', 'provision', { spec });
    await run('provision-refused', 'provision', { spec: testSpec(cluster, { replicasPerShard: 2 }) });
    await run('configure', 'configure', {
      spec: testSpec(cluster, {
        backup: { ...backup, schedule: '30 2 * * *' },
        resources: { memory: '160Mi' },
        config: { hz: 20 },
        security: { users: [{ name: 'app' }, { name: 'report' }] },
      }),
    });
    await run('provision-sentinel', 'provision', { spec: testSpec(sentinel, { mode: 'sentinel' }) });
    const archived = (enabled: boolean) => ({ spec: testSpec(sentinel, { mode: 'sentinel', pitr: { enabled } }) });
    await run('archive-begun', 'configure', archived(true));
    if (wanted('archive'))
      await until('it is archived', async () => (await readArchive(stack.dependencies.store, sentinel, 0)).length > 0, 60_000);
    await run('archive-status', 'status', { cluster: sentinel });
    await run('archive-window', 'recoveryWindow', { cluster: sentinel });
    await run('archive-ended', 'configure', archived(false));
    if (wanted('archive')) {
      const handle = client.workflow.getHandle(archiveWorkflowId(sentinel));
      await handle.result();
      await keep('archive', handle);
    }
    const moving = runs('move slots');
    await run('scale-out', 'scale', { cluster, shards: 4, strategy: 'pipelined', limits: { slotsAtOnce: 64 } }, async (handle) => {
      await until('slots move', moving(handle));
      await handle.executeUpdate(operationHandlers.pause);
      await handle.executeUpdate(operationHandlers.limits, { args: [{ slotsAtOnce: 256 }] });
      await handle.executeUpdate(operationHandlers.resume);
    });
    await run('rebalance-dry-run', 'rebalance', { cluster, weights: { 3: 0.5 }, dryRun: true });
    await run('rebalance', 'rebalance', { cluster, weights: { 3: 0.5 } });
    await run('rebalance-cancelled', 'rebalance', { cluster, strategy: 'pipelined', limits: { slotsAtOnce: 8 } }, async (handle) => {
      await until('slots move', moving(handle));
      await handle.cancel();
    });
    await run('scale-in', 'scale', { cluster, shards: 3 });
    await run('scale-sentinel', 'scale', { cluster: sentinel, replicasPerShard: 2 });
    await run('repair', 'repair', { cluster });
    let id = '';
    await run('backup', 'backup', { cluster, label: 'golden' }, async (handle) => {
      id = ((await handle.result()) as OperationResult).backup?.id ?? '';
    });
    await run('backup-shown', 'showBackup', { cluster, backup: id });
    await run('backup-verified', 'verifyBackup', { cluster, backup: 'latest' });
    await run('backup-refused', 'backup', { cluster: sentinel, approval: { timeoutSeconds: 1 } });
    await run('backup-cancelled', 'backup', { cluster, shardsAtOnce: 1 }, async (handle) => {
      await until('it is verified', runs('verify shard 0')(handle));
      await handle.cancel();
    });
    await run('restore', 'restore', { cluster, backup: id, into: restored });
    await run('restore-refused', 'restore', { cluster, backup: id, into: restored });
    const removeRestored = async (why: string) => {
      if (wanted('restore')) await (await start(why, 'deprovision', { cluster: restored, confirm: restored })).result();
    };
    await removeRestored('restored-gone');
    await run('restore-spread', 'restore', { cluster, backup: id, into: restored, changes: { shards: 4 } });
    await removeRestored('spread-gone');
    await run('restore-copied', 'restore', { cluster, backup: id, into: restored, changes: { mode: 'sentinel', shards: 1 } });
    await run('drill', 'drill', { cluster });
    await run('drill-failed', 'drill', { cluster, at: '2020-01-01T00:00:00Z' });
    await run('backup-list', 'listBackups', { cluster });
    await run('hold', 'hold', { cluster, backup: id, reason: 'recorded' });
    await run('scheduled-backup', 'scheduledBackup', { cluster });
    await run('hold-release', 'hold', { cluster, backup: id, held: false });
    await run('rotate', 'rotate', { cluster });
    await run('rotate-unchanged', 'rotate', { cluster });
    await run('keys-rotated', 'rotateKeys', { cluster });
    await run('keys-unchanged', 'rotateKeys', { cluster, newKey: false });
    await run('keys-listed', 'listKeys', {});
    await run('restore-in-place', 'restore', { cluster, backup: 'latest', confirm: cluster, ttl: 'shift' });
    await run('provision-cancelled', 'provision', { spec: testSpec(cancelled) }, async (handle) => {
      await until(
        'a node starts',
        progress(handle, (now) => now.steps.some((step) => step.name.startsWith('start ') && step.state === 'running')),
      );
      await handle.cancel();
    });
    await run('provision-failed', 'provision', {
      spec: testSpec(failed, { security: { users: [{ name: 'app', rules: '~* +no-such-command' }] } }),
    });
    await run('status', 'status', { cluster });
    await run('list', 'list', {});
    await run('unknown', 'provison', { spec });
    await run('invalid-input', 'provision', { spec: { name: cluster } });
    await keep('keeper', client.workflow.getHandle(keeperWorkflowId(cluster)));
    await run('deprovision', 'deprovision', { cluster, confirm: cluster });
    await keep('keeper-closed', client.workflow.getHandle(keeperWorkflowId(cluster)));
  } finally {
    for (const cluster of clusters) await sweep(stack.dependencies.docker, cluster);
    await stack.stop();
  }
  for (const file of readdirSync(folder)) if (wanted(file)) rmSync(join(folder, file));
  for (const [name, history] of histories) writeFileSync(join(folder, `${name}.json`), history);
}

/** Takes out who and where: names of processes and machines, and stack traces, which hold paths. Workflow code sees none of them. */
function scrub(json: string, workflowId: string): string {
  const history: unknown = JSON.parse(json, (key, value: unknown) => {
    if (/identity$/i.test(key) && typeof value === 'string') return RECORDER;
    if (key === 'stackTrace') return '';
    return typeof value === 'string' ? value.replace(/^\d+@[\w.-]+/, RECORDER) : value; // a sticky task queue is named after its process
  });
  const text = `${JSON.stringify({ workflowId, history }, null, 1)}\n`;
  const payloads = [...text.matchAll(/"data": "([^"]*)"/g)].map(([, data = '']) => Buffer.from(data, 'base64').toString());
  for (const secret of [hostname(), homedir(), home, checkout].filter((part) => part.length > 3)) {
    if ([text, ...payloads].some((part) => part.includes(secret))) throw new Error(`the history of ${workflowId} holds ${secret}`);
  }
  return text;
}

await record();
