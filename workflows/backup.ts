import { uuid4 } from '@temporalio/workflow';
import {
  type AclBackup,
  BACKUP_FORMAT,
  type BackupManifest,
  type BackupReport,
  newBackupId,
  type ShardBackup,
  type Verification,
} from '../config/backup.ts';
import { failures } from '../config/failures.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planBackup, scratchBytes, slotsThatMoved, backupSteps as steps } from '../model/plan-backup.ts';
import { detailsOf, fail, isCancellation, reasonOf, typeOf } from './support/failure.ts';
import { requireKept } from './support/kept.ts';
import { operation } from './support/operation.ts';
import { backsUp, control, onHost, verifies } from './support/proxies.ts';

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

      op.onFailure('remove the scratch servers', () => onHost(hostName).removeScratches(id));
      const verifyingAt = Date.now();
      const counted: Verification['shards'][number][] = [];
      let server: Verification['server'];
      const verify = () =>
        op.together(
          shards.map(
            (shard) => () =>
              op.step(
                steps.verify(shard.shard),
                async () => {
                  const request = { cluster: spec.name, backup: id, shard, how: input.verify, memoryBytes: scratchBytes(spec) };
                  const found = await verifies(hostName, `shard ${shard.shard} of ${id}`).verifyShard(request);
                  if (found.counted !== undefined) counted.push(found.counted);
                  server = found.server;
                  return found;
                },
                (found) =>
                  found.counted === undefined
                    ? 'every byte as it was stored'
                    : `${found.counted.keys} keys and ${found.counted.functions} function libraries, as in the source`,
              ),
          ),
          input.shardsAtOnce,
        );
      await verify().catch((error: unknown) => {
        if (isCancellation(error)) throw error;
        throw fail(typeOf(error), `${reasonOf(error)}\nThe backup ${id} stays, and is not shown as verified.`, ...detailsOf(error));
      });
      const verified: Verification = {
        how: input.verify === 'load' ? 'loaded' : 'opened',
        at: new Date().toISOString(),
        tookMs: Date.now() - verifyingAt,
        ...(server === undefined ? {} : { server }),
        shards: counted.toSorted((a, b) => a.shard - b.shard),
      };
      await op.step(steps.record, () => control.recordVerification(spec.name, id, verified));
      const report = reportOf(manifest, verified);
      return { summary: summaryOf(spec.name, report), backup: report };
    },
  );
}

function reportOf({ id, shards, startedAt, finishedAt }: BackupManifest, { how }: Verification): BackupReport {
  const sum = (of: (shard: ShardBackup) => number) => shards.reduce((total, shard) => total + of(shard), 0);
  return {
    id,
    shards: shards.length,
    keys: sum(({ keys }) => keys),
    plainBytes: sum(({ object }) => object.plainBytes),
    storedBytes: sum(({ object }) => object.storedBytes),
    storedMs: Date.parse(finishedAt) - Date.parse(startedAt),
    verified: how === 'loaded',
    how,
  };
}

const summaryOf = (cluster: string, { id, keys, verified }: BackupReport): string =>
  `${cluster} is backed up as ${id}: ${keys} keys, ${verified ? 'loaded by a server and counted' : 'every byte read again, loaded by no server'}`;
