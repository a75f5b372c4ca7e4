import { cancelAt } from '../support/crash-cancel.ts';
import { cancelledConfigure, cancelledDeprovision, cancelledProvision } from '../support/crash-cancellables.ts';
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
