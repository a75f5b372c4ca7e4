import { afterAll, beforeAll, expect, test } from 'vitest';
import { lockWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import { beginStack, endStacks, type GoodRun, onCluster, runWell, surviveCrash } from '../support/crash-harness.ts';
import { expectRemains, nothing } from '../support/crash-remains.ts';
import { provisionSmall } from '../support/crash-survivors.ts';
import type { Stack } from '../support/stack.ts';

// The harness must be able to fail: what it is there to find is put in its way.
let stack: Stack;
let good: GoodRun;

beforeAll(async () => {
  stack = await beginStack();
  good = await runWell(stack, provisionSmall);
});

afterAll(endStacks);

test('the crash harness finds a volume that a repeated activity leaves behind', async () => {
  const point = { activity: 'ensureNode', occurrence: 1, when: 'after' } as const;
  await expect(surviveCrash(stack, provisionSmall, good, point, { litters: true })).rejects.toThrow(
    /left over, or missing: volumes are \[.*-data-again/,
  );
});

test('the crash harness fails when the worker does not die where it should', async () => {
  const point = { activity: 'ensureNode', occurrence: 99, when: 'before' } as const;
  await expect(surviveCrash(stack, provisionSmall, good, point)).rejects.toThrow('the operation ended');
});

test('the crash harness finds a lock that nobody lets go', async () => {
  await onCluster(stack, async ({ cluster }) => {
    await stack.client.workflow.start('lock', { taskQueue: WORKFLOW_TASK_QUEUE, workflowId: lockWorkflowId(cluster) });
    await expect(expectRemains(stack, cluster, nothing)).rejects.toThrow('open are [cluster/*/lock]');
  });
});
