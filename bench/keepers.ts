import { setTimeout as pause } from 'node:timers/promises';
import { acceptSpec } from '../activities/temporal/keeper.ts';
import { clusterSpec } from '../config/cluster-spec.ts';
import { keeperWorkflowId } from '../config/names.ts';
import { keeperHandlers } from '../config/status.ts';
import { testSpec, uniqueName } from '../test/support/clusters.ts';
import { until } from '../test/support/processes.ts';
import { startStack } from '../test/support/stack.ts';
import { cpuSeconds, residentMib } from './measure.ts';

const KEEPERS = 200;
const IDLE_MS = 30_000;

/** What the keepers of 200 clusters cost one worker while nothing happens. */
export async function benchKeepers(): Promise<void> {
  const stack = await startStack({ withWorker: false });
  try {
    const worker = stack.startWorker();
    await until('the worker runs', async () => stack.workerLog().includes('holdfast worker runs'));
    await idle(worker.pid);
    const before = residentMib(worker.pid);
    const idleBefore = await idle(worker.pid);
    const names = Array.from({ length: KEEPERS }, () => uniqueName('k'));
    await Promise.all(
      names.map((name) =>
        acceptSpec(stack.client, { spec: clusterSpec.parse(testSpec(name)), generation: 1, acceptedAt: new Date().toISOString() }, false),
      ),
    );
    for (const name of names) await stack.client.workflow.getHandle(keeperWorkflowId(name)).query(keeperHandlers.describe);
    const idleAfter = await idle(worker.pid);
    const after = residentMib(worker.pid);
    console.log(
      `${KEEPERS} keepers on one worker: ${after.toFixed(0)} MiB resident, ${before.toFixed(0)} MiB without them (${(((after - before) / KEEPERS) * 1024).toFixed(0)} KiB each)`,
    );
    console.log(
      `CPU while idle for ${IDLE_MS / 1000} s: ${(idleAfter * 100).toFixed(1)} % of a core, ${(idleBefore * 100).toFixed(1)} % without them`,
    );
  } finally {
    await stack.stop();
  }
}

/** The share of a core that a process uses while nobody asks it anything. */
async function idle(pid: number): Promise<number> {
  const before = cpuSeconds(pid);
  await pause(IDLE_MS);
  return (cpuSeconds(pid) - before) / (IDLE_MS / 1000);
}
