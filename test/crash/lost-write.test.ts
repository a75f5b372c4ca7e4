import { afterAll, beforeAll, expect, test } from 'vitest';
import { beginStack, endStacks, onCluster, prepared, start, worker } from '../support/crash-harness.ts';
import { scaleOut } from '../support/crash-scaling.ts';
import type { Stack } from '../support/stack.ts';

// The ledger must be able to fail: a driver that hands slots over before their source is empty loses what is left there.
let stack: Stack;

beforeAll(async () => {
  stack = await beginStack();
});
afterAll(endStacks);

test('a driver that hands a slot over before its source is empty is caught by the ledger, with the slot and the time', {
  timeout: 200_000,
}, async () => {
  await onCluster(stack, async (subject) => {
    await prepared(subject, scaleOut);
    worker(stack, { handsOverEarly: true });
    const handle = await start(subject, scaleOut.operation, scaleOut.input(subject.cluster));
    const error = await handle.result().then(
      () => undefined,
      (problem: unknown) => (problem instanceof Error ? problem.cause : problem),
    );
    expect(error).toMatchObject({ type: 'WriteLost' });
    expect(String(error)).toMatch(
      /slot \d+, \d{4}-\d{2}-\d{2}T[\d:.]+Z: write \d+ of holdfast:probe:\{\w+\} was acknowledged, nothing is there/,
    );
  });
});
