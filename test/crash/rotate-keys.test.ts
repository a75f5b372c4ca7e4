import { cancelAt } from '../support/crash-cancel.ts';
import { surviveCrash } from '../support/crash-harness.ts';
import { cancelledRotateKeys, rotateKeys } from '../support/crash-rotate-keys.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('keys are rotated, and none is lost, when the worker is killed around any of the activities', rotateKeys, surviveCrash, [
  // All of them are sealed anew, and nobody knows.
  'rewrapKeys#1 after',
  'makeKey#1 after',
]);

testPoints('keys whose rotation is cancelled at any of its activities open all the same', cancelledRotateKeys, cancelAt, [
  'rewrapKeys#1 before',
]);
