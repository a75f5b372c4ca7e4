import { type BackupManifest, type BackupReport, isVerified, type Verification } from '../../config/backup.ts';
import type { BackupInput } from '../../config/operations.ts';
import { backupSteps as steps } from '../../model/plan-backup.ts';
import { isDamage, reportOf, withVerification } from '../../model/recovery/verification.ts';
import { detailsOf, fail, isCancellation, reasonOf, typeOf } from './failure.ts';
import { control, onHost, verifies } from './proxies.ts';
import type { Operation } from './stages.ts';

export interface Verifying extends Pick<BackupInput, 'verify' | 'shardsAtOnce'> {
  readonly host: string;
  /** Memory of each server that loads a shard. */
  readonly memoryBytes: number;
}

/** Proves every shard of a backup that has its manifest, and records what was found there: the proof, or the damage. */
export async function verifyShards(
  op: Operation,
  manifest: BackupManifest,
  { host, verify, shardsAtOnce, memoryBytes }: Verifying,
): Promise<BackupReport> {
  const { id, cluster, shards } = manifest;
  const startedAt = Date.now();
  const counted: Verification['shards'][number][] = [];
  let server: Verification['server'];
  op.onFailure('remove the scratch servers', () => onHost(host).removeScratches(id));
  const all = op.together(
    shards.map(
      (shard) => () =>
        op.step(
          steps.verify(shard.shard),
          async () => {
            const found = await verifies(host, `shard ${shard.shard} of ${id}`).verifyShard({
              cluster,
              backup: id,
              shard,
              how: verify,
              memoryBytes,
            });
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
    shardsAtOnce,
  );
  await all.catch(async (error: unknown) => {
    if (isCancellation(error)) throw error;
    const [type, why] = [typeOf(error), reasonOf(error)];
    const damaged = isDamage(type);
    if (damaged) await control.recordDamage(cluster, id, { at: new Date().toISOString(), type, why });
    const shown = damaged
      ? 'and is not shown as verified but as damaged'
      : isVerified(manifest)
        ? 'and is shown as verified as before'
        : 'and is not shown as verified';
    throw fail(type, `${why}\nThe backup ${id} stays, ${shown}.`, ...detailsOf(error));
  });
  const verified: Verification = {
    how: verify === 'load' ? 'loaded' : 'opened',
    at: new Date().toISOString(),
    tookMs: Date.now() - startedAt,
    ...(server === undefined ? {} : { server }),
    shards: counted.toSorted((a, b) => a.shard - b.shard),
  };
  await op.step(steps.record, () => control.recordVerification(cluster, id, verified));
  return reportOf(withVerification(manifest, verified), verified.how);
}
