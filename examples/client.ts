/**
 * A service that asks Holdfast for a cluster, watches it being made, and gives it back. Needs only Temporal: run it with `node examples/client.ts`
 * while a worker runs. In a project of your own, import from 'holdfast'.
 */
import { Holdfast, OperationFailed } from '../starter/client/index.ts';

const cluster = process.argv[2] ?? 'example';

await using holdfast = await Holdfast.connect();

try {
  const operation = await holdfast.provision.start({
    spec: {
      name: cluster,
      engine: 'valkey',
      version: '9.1',
      resources: { memory: '128Mi' },
      security: { users: [{ name: 'app', rules: '~app:* +@all -@admin -@dangerous +info' }] },
      deletionProtection: false,
    },
    reason: 'the client example',
  });
  console.log(`started ${operation.workflowId}`);

  // The operation does not need us: if this process dies, it goes on, and `holdfast.operations.attach(workflowId)` picks it up again.
  for await (const { stage, steps } of operation.watch()) {
    const done = steps.filter((step) => step.state === 'done').length;
    const running = steps.find((step) => step.state === 'running');
    console.log(`${stage}: ${done} of ${steps.length} steps${running === undefined ? '' : `, now ${running.name}`}`);
  }
  const made = await operation.result();
  console.log(made.summary);

  const status = await holdfast.status(cluster);
  console.log(`${status.cluster} is ${status.verdict}: ${status.shards.length} shards`);
  for (const finding of status.findings) console.log(`${finding.code}: ${finding.message}; ${finding.next}`);

  const removed = await holdfast.deprovision.execute({ cluster, confirm: cluster, reason: 'the client example is over' });
  console.log(removed.summary);
} catch (error) {
  if (!(error instanceof OperationFailed)) throw error;
  // `type` is one of `failures` in config/failures.ts: ClusterBusy, HostFull, VerificationFailed ...
  console.error(`${error.type}: ${error.message}`);
  process.exitCode = 1;
}
