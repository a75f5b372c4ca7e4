import { deepStrictEqual } from 'node:assert/strict';
import type { BackupSummary } from '../../config/backup.ts';
import { clusterSpec } from '../../config/cluster-spec.ts';
import { backupKeys } from '../../config/names.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, type Subject, type Survivor } from './crash-harness.ts';
import { DAY_MS, manifestOf } from './manifests.ts';

/** Backups of as many days, of which two stay; one that nobody ended; a timeline that nobody began. */
const DAYS = 12;
const retention = { daily: 2, weekly: 0, monthly: 0 };
const TIMELINE = '20260101T000000Z-00000000';

async function stored({ stack, cluster }: Subject): Promise<void> {
  const { store } = stack.dependencies;
  const spec = clusterSpec.parse({ name: cluster, engine: 'valkey', version: '9.1', backup: { retention } });
  for (let day = 0; day < DAYS; day++) {
    const manifest = manifestOf(Date.now() - day * DAY_MS, { cluster, spec });
    for (const { key } of manifest.shards) await store.put(key, 'sealed');
    await store.put(backupKeys.manifest(cluster, manifest.id), JSON.stringify(manifest));
  }
  await store.put(backupKeys.shard(cluster, '20260101T000000Z-00000000', 0, '00000000'), 'given up');
  await store.put(backupKeys.base(cluster, 0, TIMELINE, '00000000'), 'given up');
}

const list = (subject: Subject) => execute<readonly BackupSummary[]>(subject, 'listBackups', { cluster: subject.cluster });

/** Of a cluster that is gone: all that it needs is the bucket. */
export const rotate: Survivor = {
  operation: 'rotate',
  prepare: stored,
  input: (cluster) => ({ cluster, graceSeconds: 0 }),
  check: async (subject) => {
    const { stack, cluster } = subject;
    const found = await list(subject);
    deepStrictEqual(
      found.map(({ startedAt }) => startedAt.slice(0, 10)),
      [0, 1].map((day) => new Date(Date.parse(found[0]?.startedAt ?? '') - day * DAY_MS).toISOString().slice(0, 10)),
    );
    deepStrictEqual((await stack.dependencies.store.list(backupKeys.backups(cluster))).length, 4);
    deepStrictEqual(await stack.dependencies.store.list(backupKeys.archives(cluster)), []);
  },
};

/** What is gone is gone; nothing is there in part but what has no manifest, and a second rotation ends it. */
export const cancelledRotate: Cancellable = {
  ...rotate,
  undone: async (subject) => {
    const { stack, cluster } = subject;
    const keys = new Set(await stack.dependencies.store.list(backupKeys.backups(cluster)));
    for (const { id } of await list(subject))
      deepStrictEqual([...keys].filter((key) => key.startsWith(backupKeys.backup(cluster, id))).length, 2);
    const again = await execute(subject, 'rotate', { cluster, graceSeconds: 0 });
    await rotate.check(subject, again);
  },
};
