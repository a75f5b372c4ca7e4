import { expect } from 'vitest';
import { objectsOf } from '../../activities/backup/catalogue.ts';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { backupKeys, labels, lockWorkflowId } from '../../config/names.ts';
import type { Stack } from '../support/stack.ts';
import { ask } from './ask.ts';

/** No server that was made to verify, no lock, and in the bucket what the manifests name, without a part of anything else. */
export async function nothingLeft(stack: Stack, cluster: string): Promise<void> {
  const { docker, store } = stack.dependencies;
  const filters = { label: [labels.scratch] };
  const ours = (name = '') => name.includes(cluster);
  expect((await docker.listContainers({ all: true, filters })).filter(({ Names }) => ours(Names[0]))).toEqual([]);
  expect((await docker.listVolumes({ filters })).Volumes.filter(({ Name }) => ours(Name))).toEqual([]);
  expect(await store.listUploads(backupKeys.backups(cluster))).toEqual([]);
  expect((await stack.client.workflow.getHandle(lockWorkflowId(cluster)).describe()).status.name).not.toBe('RUNNING');
  const ids = (await ask<readonly BackupSummary[]>(stack, 'listBackups', { cluster })).map(({ id }) => id);
  const manifests = await Promise.all(ids.map((backup) => ask<BackupManifest>(stack, 'showBackup', { cluster, backup })));
  const named = manifests.flatMap((manifest) => [backupKeys.manifest(cluster, manifest.id), ...objectsOf(manifest).map(({ key }) => key)]);
  const index = backupKeys.index(cluster); // of many backups, whenever somebody has listed them
  expect(new Set(await store.list(backupKeys.backups(cluster)).then((keys) => keys.filter((key) => key !== index)))).toEqual(
    new Set(named),
  );
}
