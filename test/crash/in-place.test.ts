import { cancelAt } from '../support/crash-cancel.ts';
import { surviveCrash } from '../support/crash-harness.ts';
import { cancelledInPlace, restoreInPlace } from '../support/crash-in-place.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('a restore in place ends with every key when its worker is killed around any of its activities', restoreInPlace, surviveCrash, [
  // One node would start with its data, the others cannot be started.
  'replaceData#2 before',
  // Applications are let in at some nodes, perhaps.
  'applyUsers#1 after',
]);

testPoints(
  'a restore in place that is cancelled at any of its activities gives back what the cluster had, or has ended',
  cancelledInPlace,
  cancelAt,
  ['awaitLoaded#2 before'],
);
