import { deepStrictEqual } from 'node:assert/strict';
import { keeperWorkflowId } from '../../config/names.ts';
import type { KeeperDescription } from '../../config/status.ts';
import { keeperHandlers } from '../../config/status.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, expectHealthy } from './crash-harness.ts';
import { expectRemains, nothing } from './crash-remains.ts';
import { beforeConfigure, configure, deprovision, provisionCluster, settingsOfNodes } from './crash-survivors.ts';

/** What it made is gone. */
export const cancelledProvision: Cancellable = {
  ...provisionCluster,
  undone: ({ stack, cluster }) => expectRemains(stack, cluster, nothing),
};

/** The former settings are back on every node, and the keeper holds the former spec. */
export const cancelledConfigure: Cancellable = {
  ...configure,
  undone: async (subject, good, { activity }) => {
    const { stack, cluster } = subject;
    for (const settings of await settingsOfNodes(subject)) deepStrictEqual(settings, beforeConfigure);
    const { journal } = await expectHealthy(subject);
    deepStrictEqual(
      journal.map((entry) => entry.outcome),
      activity === 'openOperation' ? ['done'] : ['done', 'cancelled'], // before its lock, an operation has not begun
    );
    const kept = await stack.client.workflow.getHandle(keeperWorkflowId(cluster)).query<KeeperDescription>(keeperHandlers.describe);
    deepStrictEqual(kept.spec.resources.memory, '128Mi');
    await expectRemains(stack, cluster, good.remains);
  },
};

/** What is removed cannot come back; but nothing hangs, and a second run removes the rest. */
export const cancelledDeprovision: Cancellable = {
  ...deprovision,
  undone: async (subject, _, { activity, when }) => {
    const { stack, cluster } = subject;
    const rest = activity !== 'closeKeeper' || when === 'before'; // that is the last thing to go
    if (rest) deepStrictEqual((await execute(subject, 'deprovision', { cluster, confirm: cluster })).outcome, 'done');
    await expectRemains(stack, cluster, nothing);
  },
};
