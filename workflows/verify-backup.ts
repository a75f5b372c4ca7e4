import type { OperationResult } from '../config/progress.ts';
import { planVerifyBackup } from '../model/plan-verify-backup.ts';
import { operation } from './support/operation.ts';
import { control } from './support/proxies.ts';
import { verifyShards } from './support/verify-shards.ts';

/** Proves a stored backup once more. Needs nothing of the cluster, which may be gone: its manifest says all. */
export async function verifyBackup(raw: unknown): Promise<OperationResult> {
  return operation(
    'verifyBackup',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const look = async () => {
        const manifest = await control.readBackup(input.cluster, input.backup);
        await control.requireHostWorker(planVerifyBackup(manifest, input).host);
        return manifest;
      };
      const { plan, seen: manifest } = await op.propose(look, (found) => planVerifyBackup(found, input));
      const backup = await verifyShards(op, manifest, { ...input, ...plan });
      const proof = backup.how === 'loaded' ? 'loaded by a server and counted' : 'every byte is as it was stored';
      return { summary: `${backup.id} of ${input.cluster}: ${backup.keys} keys, ${proof}`, backup };
    },
  );
}
