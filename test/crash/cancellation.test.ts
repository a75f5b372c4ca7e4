import { expect, test } from 'vitest';
import { cancelAt, holdAt } from '../support/crash-cancel.ts';
import { cancelledConfigure, cancelledDeprovision, cancelledProvision } from '../support/crash-cancellables.ts';
import { beginStack, endStacks, onCluster, whileRuns, worker } from '../support/crash-harness.ts';
import { expectRemains, nothing } from '../support/crash-remains.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('a provision that is cancelled at any of its activities leaves nothing', cancelledProvision, cancelAt, [
  // Some nodes run, one has begun, and five more are told to stop.
  'ensureNode#2 after',
  // All is made, and the bucket and the keeper know the spec.
  'acceptSpec#1 after',
]);

testPoints(
  'a configure that is cancelled at any of its activities gives the former settings back',
  cancelledConfigure,
  cancelAt,
  // All is changed: limits, parameters and users go back, one after the other.
  ['applyUsers#1 after', 'acceptSpec#1 after'],
);

testPoints(
  'a deprovision that is cancelled at any of its activities can be run again',
  cancelledDeprovision,
  cancelAt,
  // The secrets are gone, and the keeper is still there.
  ['removeSecrets#1 after'],
);

test('a cancelled provision leaves nothing when its worker is killed while it is being undone', async () => {
  const stack = await beginStack();
  await onCluster(stack, async (subject) => {
    const held = await holdAt(
      subject,
      cancelledProvision,
      { activity: 'ensureNode', occurrence: 2, when: 'after' },
      { activity: 'removeNode', occurrence: 2, when: 'after' },
    );
    await held.handle.cancel();
    expect(await held.worker.ended).toBe('SIGKILL');
    const ended = held.handle.result().then(
      () => 'well',
      (error: unknown) => String(error),
    );
    await whileRuns(subject, worker(stack), ended);
    expect((await held.handle.describe()).status.name, await ended).toBe('CANCELLED');
    await expectRemains(stack, subject.cluster, nothing);
  }).finally(endStacks);
});
