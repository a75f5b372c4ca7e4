import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BackupManifest, BackupSummary } from '../../../config/backup.ts';
import { clusterSpec } from '../../../config/cluster-spec.ts';
import { failures } from '../../../config/failures.ts';
import { backupKeys } from '../../../config/names.ts';
import type { OperationResult } from '../../../config/progress.ts';
import type { StatusReport } from '../../../config/status.ts';
import { refusal } from '../../integration/ask.ts';
import { holdAt } from '../../support/crash-cancel.ts';
import {
  beginStack,
  endStacks,
  execute,
  onCluster,
  prepared,
  resultOf,
  type Subject,
  start,
  stopWorkers,
  whileRuns,
  worker,
} from '../../support/crash-harness.ts';
import { restore, restoreElsewhere } from '../../support/crash-restore.ts';
import { rotate } from '../../support/crash-rotate.ts';
import { storedName, storedOf } from '../../support/crash-stored.ts';
import { manifestOf } from '../../support/manifests.ts';
import { until } from '../../support/processes.ts';
import type { Stack } from '../../support/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await beginStack();
});
afterAll(endStacks);

const list = (subject: Subject) => execute<readonly BackupSummary[]>(subject, 'listBackups', { cluster: subject.cluster });
const rotateNow = (subject: Subject, more: object = {}) =>
  execute(subject, 'rotate', { cluster: subject.cluster, graceSeconds: 0, ...more });

/** A newer backup is verified, and one is all that its spec keeps. */
async function outdate({ stack, cluster }: Subject): Promise<void> {
  const { store } = stack.dependencies;
  const old = JSON.parse(
    Buffer.from((await store.get(backupKeys.manifest(cluster, storedOf(cluster).backup))) ?? []).toString(),
  ) as BackupManifest;
  const spec = clusterSpec.parse({ ...old.spec, backup: { retention: { daily: 1, weekly: 0, monthly: 0 } } });
  const newer = manifestOf(Date.now(), { cluster, clusterId: old.clusterId, spec });
  for (const { key } of newer.shards) await store.put(key, 'sealed');
  await store.put(backupKeys.manifest(cluster, newer.id), JSON.stringify(newer));
}

/** A backup of a cluster that is gone, which the next rotation would remove; and the name of another one to restore it into. */
const onOutdated = (work: (source: Subject, into: Subject) => Promise<void>) =>
  onCluster(
    stack,
    async (source) => {
      await prepared(source, restore);
      await outdate(source);
      await onCluster(stack, (into) => work(source, into));
    },
    storedName(stack),
  );

const restoring = (source: Subject) => ({
  operation: 'restore' as const,
  input: (into: string) => ({ cluster: source.cluster, backup: storedOf(source.cluster).backup, into }),
});

test('a rotation leaves what a restore reads, and removes it when that is over', { timeout: 600_000 }, async () => {
  await onOutdated(async (source, into) => {
    const { backup } = storedOf(source.cluster);
    const held = await holdAt(into, restoring(source), { activity: 'fillShard', occurrence: 1, when: 'before' });
    const beside = await rotateNow(source);
    expect(beside.plan.backups?.find(({ id }) => id === backup)).toMatchObject({
      stays: true,
      why: [expect.stringContaining('reads it')],
    });
    held.open();
    expect(await whileRuns(into, held.worker, resultOf(held.handle))).toMatchObject({ outcome: 'done' });
    expect((await rotateNow(source)).plan.backups?.find(({ id }) => id === backup)).toMatchObject({ stays: false });
    expect((await list(source)).map(({ id }) => id)).not.toContain(backup);
  });
});

test('a restore that is ended half way over other shards is told apart from a cluster that has its data, and is gone on with', {
  timeout: 600_000,
}, async () => {
  await onCluster(
    stack,
    async (source) => {
      await prepared(source, restoreElsewhere);
      const { cluster } = source;
      const held = await holdAt(source, restoreElsewhere, { activity: 'spreadShard', occurrence: 2, when: 'after' });
      await held.handle.terminate('by a test');
      held.open();
      await stopWorkers(stack);
      const next = worker(stack);
      const looked = execute<StatusReport>(source, 'status', { cluster });
      expect(await whileRuns(source, next, looked)).toMatchObject({
        verdict: 'degraded',
        findings: [{ code: 'half-restored', next: expect.stringContaining(`holdfast deprovision ${cluster}`) }],
      });
      const other = execute(source, 'restore', { ...(restoreElsewhere.input(cluster) as object), include: ['text:*'] });
      expect((await refusal(whileRuns(source, next, other))).message).toContain('run the same restore again');
      const again = await whileRuns(source, next, execute(source, 'restore', restoreElsewhere.input(cluster)));
      await whileRuns(source, next, restoreElsewhere.check(source, again));
    },
    storedName(stack),
  );
});

test('a restore waits for what a rotation is removing, and then says that it is gone before it makes anything', {
  timeout: 600_000,
}, async () => {
  await onOutdated(async (source, into) => {
    const removing = await holdAt(
      source,
      { operation: 'rotate', input: (cluster) => ({ cluster, graceSeconds: 0 }) },
      { activity: 'removeBackups', occurrence: 1, when: 'after' },
    );
    const late = await start(into, 'restore', restoring(source).input(into.cluster));
    expect((await refusal(late.result())).type).toBe(failures.backupNotFound);
    // What stays can be read, but not before it is certain that it stays.
    const [newest] = await list(source);
    const other = await start(into, 'restore', { cluster: source.cluster, backup: newest?.id, into: into.cluster, dryRun: true });
    await until(
      'it waits',
      async () => (await other.describe()).raw.pendingActivities?.some(({ activityType }) => activityType?.name === 'awaitRemovals'),
      60_000,
    );
    removing.open();
    await whileRuns(source, removing.worker, resultOf(removing.handle));
    await whileRuns(
      source,
      removing.worker,
      other.result().catch(() => undefined),
    );
  });
});

test('of two that do the same at once one does it, and the other says who does', { timeout: 600_000 }, async () => {
  const both = async (subject: Subject, operation: string, input: object) => {
    const handles = await Promise.all([1, 2].map(() => start(subject, operation, input)));
    const ends = await Promise.all(
      handles.map((handle) =>
        handle.result().then(
          () => 'done',
          async () => (await refusal(handle.result())).type,
        ),
      ),
    );
    expect(ends.toSorted()).toEqual([failures.clusterBusy, 'done'].toSorted());
    return (await Promise.all(handles.map((handle) => handle.result().catch(() => undefined)))).find(
      (result) => result !== undefined,
    ) as OperationResult;
  };
  await onCluster(
    stack,
    async (subject) => {
      await prepared(subject, restore);
      worker(stack);
      await restore.check(subject, await both(subject, 'restore', restore.input(subject.cluster) as object));
      const { backup } = await both(subject, 'backup', { cluster: subject.cluster, fromPrimary: true, verify: 'checksum' });
      expect((await list(subject)).map(({ id }) => id).toSorted()).toEqual([storedOf(subject.cluster).backup, backup?.id].toSorted());
    },
    storedName(stack),
  );
  await onCluster(stack, async (subject) => {
    await prepared(subject, rotate);
    worker(stack);
    await rotate.check(subject, await both(subject, 'rotate', rotate.input(subject.cluster) as object));
  });
  await stopWorkers(stack);
});
