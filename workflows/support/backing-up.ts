import { uuid4 } from '@temporalio/workflow';
import {
  type AclBackup,
  BACKUP_FORMAT,
  type BackupHold,
  type BackupManifest,
  type BackupReport,
  newBackupId,
  type ShardBackup,
} from '../../config/backup.ts';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { BackupInput } from '../../config/operations.ts';
import { hostOf } from '../../model/known-cluster.ts';
import { type BackupPlan, scratchBytes, slotsThatMoved, backupSteps as steps } from '../../model/plan-backup.ts';
import { fail } from './failure.ts';
import { backsUp, control } from './proxies.ts';
import type { Operation } from './stages.ts';
import { verifyShards } from './verify-shards.ts';

export interface BackingUp extends Pick<BackupInput, 'verify' | 'fromPrimary' | 'shardsAtOnce' | 'label' | 'keepUntil'> {
  readonly spec: ClusterSpec;
  readonly clusterId: string;
  readonly shards: BackupPlan['shards'];
  /** Held from the beginning: no rotation ever sees it otherwise. */
  readonly hold?: BackupHold;
}

/**
 * Stores the data of every shard, and proves that it can be loaded. Until the manifest is written it is no backup, and a failure leaves nothing. From then on it
 * stays, whatever its verification says: only what was loaded is called verified.
 */
export async function backUp(op: Operation, { spec, clusterId, shards: planned, hold, ...input }: BackingUp): Promise<BackupReport> {
  const hostName = hostOf(spec);
  const startedAt = new Date();
  const id = newBackupId(startedAt, uuid4().slice(0, 8));
  const stored: ShardBackup[] = [];
  let acl: AclBackup | undefined;

  const stays = op.onFailure('remove what was stored', () => control.discardBackup(spec.name, id));
  await op.together(
    [
      ...planned.map(
        ({ shard, source }) =>
          () =>
            op.step(
              steps.store(shard),
              async () => {
                const found = await backsUp(hostName, `shard ${shard} of ${id}`).backUpShard({
                  spec,
                  clusterId,
                  backup: id,
                  shard,
                  node: source.name,
                  fromPrimary: input.fromPrimary,
                });
                stored.push(found);
                return found;
              },
              ({ node, keys, object }) => `${keys} keys of ${node}, ${object.storedBytes} bytes`,
            ),
      ),
      () =>
        op.step(steps.acl, async () => {
          acl = await backsUp(hostName, `users, ${id}`).backUpAcl({ spec, backup: id });
        }),
    ],
    input.shardsAtOnce,
  );
  const shards = stored.toSorted((a, b) => a.shard - b.shard);
  const manifest: BackupManifest = {
    format: BACKUP_FORMAT,
    id,
    cluster: spec.name,
    clusterId,
    generation: op.known.generation,
    spec,
    ...(input.label === undefined ? {} : { label: input.label }),
    ...(input.keepUntil === undefined ? {} : { keepUntil: new Date(input.keepUntil).toISOString() }),
    ...(hold === undefined ? {} : { hold }),
    startedAt: startedAt.toISOString(),
    finishedAt: new Date().toISOString(),
    shards,
    ...(acl === undefined ? {} : { acl }),
  };
  await op.step(steps.commit, async () => {
    const moved = slotsThatMoved(spec, op.known, shards, await op.observe(spec));
    if (moved.length > 0)
      throw fail(
        failures.backupNotGood,
        `slots of shard ${moved.join(', ')} have moved since they were stored, so keys may be there twice, or not at all: who moves them? Then: holdfast backup create ${spec.name}`,
      );
    await control.commitBackup(manifest);
    // What comes now proves it, and changes nothing of it.
    stays();
    op.soFar(`the backup ${id} is stored, and was not verified`);
    op.onFailure('remove what attempts left', () => control.discardBackup(spec.name, id));
    await control.discardBackup(spec.name, id);
  });

  return verifyShards(op, manifest, {
    host: hostName,
    verify: input.verify,
    shardsAtOnce: input.shardsAtOnce,
    memoryBytes: scratchBytes(spec),
  });
}
