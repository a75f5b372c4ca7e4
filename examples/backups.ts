/**
 * Backs a cluster up and holds the backup, then brings the cluster back as it was at a moment, beside itself and under another name. Run it with
 * `node examples/backups.ts <cluster> <new name> [moment]` while a worker runs. In a project of your own, import from 'holdfast'.
 */
import { Holdfast, OperationFailed } from '../starter/client/index.ts';

const [cluster = 'example', into = `${cluster}-then`, moment] = process.argv.slice(2);

await using holdfast = await Holdfast.connect();

try {
  // A replica is read; the primary only where a shard has none.
  const made = { cluster, label: 'before the migration', fromPrimary: true, reason: 'the backup example' };
  const { backup } = await holdfast.backup.execute(made);
  if (backup === undefined) throw new Error('there is no backup');
  console.log(`${backup.id}: ${backup.keys} keys, ${backup.verified ? 'loaded by a server' : 'not verified'}`);

  // No rotation removes it until somebody releases it: the same with `held: false`.
  await holdfast.hold.execute({ cluster, backup: backup.id, reason: 'until the migration is accepted' });
  for (const { id, label, held } of await holdfast.backups.list(cluster, { limit: 5 })) console.log(id, label ?? '', held ? 'held' : '');

  const { earliest, latest, shards } = await holdfast.recoveryWindow(cluster);
  console.log(`every moment from ${earliest ?? '-'} to ${latest ?? '-'}`);
  for (const { shard, gaps } of shards)
    for (const { from, to, why } of gaps) console.log(`but for shard ${shard} from ${from ?? '-'} to ${to ?? '-'}: ${why}`);

  // Without an archive (`pitr.enabled` in its spec) there are the moments of its backups alone.
  const at = moment ?? latest;
  const input = { cluster, into, ...(at === undefined ? { backup: backup.id } : { at }), reason: 'the backup example' };
  const { plan } = await holdfast.restore.execute({ ...input, dryRun: true });
  console.log(plan.summary);
  if (plan.refusals.length > 0) throw new Error(plan.refusals.join('\n'));

  // With the digest of the plan that was shown: if that has changed since, nothing is done.
  const operation = await holdfast.restore.start({ ...input, ...(plan.digest === undefined ? {} : { planDigest: plan.digest }) });
  for await (const { stage, steps } of operation.watch()) {
    const running = steps.find((step) => step.state === 'running');
    console.log(`${stage}${running === undefined ? '' : `: ${running.name}`}`);
  }
  const { summary, restored } = await operation.result();
  console.log(summary);
  console.log(`${restored?.keys ?? 0} keys`);

  for (const { cluster: name, amiss } of await holdfast.recoveryWindows())
    if (amiss.length > 0) console.log(`${name}: ${amiss.join('; ')}`);
} catch (error) {
  if (!(error instanceof OperationFailed)) throw error;
  console.error(`${error.type}: ${error.message}`);
  process.exitCode = 1;
}
