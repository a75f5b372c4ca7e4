/**
 * Adds a shard to a cluster: shows the moves first, carries out that very plan, and asks for more room in the middle of it. Run it with
 * `node examples/scale.ts <cluster> <shards>` while a worker runs. In a project of your own, import from 'holdfast'.
 */
import { Holdfast, OperationFailed } from '../starter/client/index.ts';

const [cluster = 'example', shards = '4'] = process.argv.slice(2);

await using holdfast = await Holdfast.connect();

try {
  const input = { cluster, shards: Number(shards), limits: { probeP99Ms: 5 }, reason: 'the scale example' };
  const { plan } = await holdfast.scale.execute({ ...input, dryRun: true });
  console.log(plan.summary);
  for (const { from, to, slots, keys } of plan.moves ?? []) console.log(`shard ${from} -> ${to}: ${slots} slots, ${keys} keys`);
  if (plan.refusals.length > 0) throw new Error(plan.refusals.join('\n'));

  // With the digest of the plan that was shown: if the cluster has changed since, nothing is done.
  const operation = await holdfast.scale.start({ ...input, ...(plan.digest === undefined ? {} : { planDigest: plan.digest }) });
  let widened = false;
  for await (const { steps } of operation.watch()) {
    const move = steps.find((step) => step.state === 'running')?.move;
    if (move === undefined) continue;
    console.log(`${move.slots} of ${move.slotsTotal} slots, ${move.keysPerSecond} keys/s, p99 ${move.latency.p99} ms, ${move.state}`);
    if (!widened && move.slots > move.slotsTotal / 2) {
      widened = true;
      await operation.setLimits({ probeP99Ms: 10 });
    }
  }
  const { summary, moved } = await operation.result();
  console.log(summary);
  if (moved !== undefined) console.log(`${moved.ledger.acknowledged} writes acknowledged, ${moved.ledger.lost} lost`);
} catch (error) {
  if (!(error instanceof OperationFailed)) throw error;
  console.error(`${error.type}: ${error.message}`);
  process.exitCode = 1;
}
