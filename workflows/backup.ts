import type { BackupReport } from '../config/backup.ts';
import type { OperationResult } from '../config/progress.ts';
import { hostOf } from '../model/known-cluster.ts';
import { planBackup } from '../model/plan-backup.ts';
import { backUp } from './support/backing-up.ts';
import { requireKept } from './support/kept.ts';
import { operation } from './support/operation.ts';
import { control } from './support/proxies.ts';

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
      const report = await backUp(op, { ...input, spec, clusterId, shards: plan.shards });
      return { summary: summaryOf(spec.name, report), backup: report };
    },
  );
}

const summaryOf = (cluster: string, { id, keys, verified }: BackupReport): string =>
  `${cluster} is backed up as ${id}: ${keys} keys, ${verified ? 'loaded by a server and counted' : 'every byte read again, loaded by no server'}`;
