import { uuid4 } from '@temporalio/workflow';
import { type AclBackup, BACKUP_FORMAT, type BackupManifest, type BackupReport, newBackupId, type ShardBackup } from '../config/backup.ts';
import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planBackup, scratchBytes, slotsThatMoved, backupSteps as steps } from '../model/plan-backup.ts';
import { fail } from './support/failure.ts';
import { requireKept } from './support/kept.ts';
import { operation } from './support/operation.ts';
import { backsUp, control } from './support/proxies.ts';
import { verifyShards } from './support/verify-shards.ts';

/**
 * Stores the data of every shard, and proves that it can be loaded. Until the manifest is written it is no backup, and a failure leaves nothing. From then on it
 * stays, whatever its verification says: only what was loaded is called verified.
 */
export async function backup(raw: unknown): Promise<OperationResult> {
  return operation(
    'backup',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { spec, clusterId } = requireKept(input.cluster, op.known);
      const hostName = hostOf(spec);
      await control.requireHostWorker(hostName);
      const { plan } = await op.propose(
        () => op.observe(spec),
        (seen) => planBackup(spec, op.known, input, seen),
      );
      const startedAt = new Date();
      const id = newBackupId(startedAt, uuid4().slice(0, 8));
      const stored: ShardBackup[] = [];
      let acl: AclBackup | undefined;

      op.onFailure('remove what was stored', () => control.discardBackup(spec.name, id));
      await op.together(
        [
          ...plan.shards.map(
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
        op.keep();
        op.soFar(`the backup ${id} is stored, and was not verified`);
        op.onFailure('remove what attempts left', () => control.discardBackup(spec.name, id));
        await control.discardBackup(spec.name, id);
      });

      const report = await verifyShards(op, manifest, {
        host: hostName,
        verify: input.verify,
        shardsAtOnce: input.shardsAtOnce,
        memoryBytes: scratchBytes(spec),
      });
      return { summary: summaryOf(spec.name, report), backup: report };
    },
  );
}

const summaryOf = (cluster: string, { id, keys, verified }: BackupReport): string =>
  `${cluster} is backed up as ${id}: ${keys} keys, ${verified ? 'loaded by a server and counted' : 'every byte read again, loaded by no server'}`;
