import { cancelAt } from '../support/crash-cancel.ts';
import { surviveCrash } from '../support/crash-harness.ts';
import { cancelledRotate, rotate } from '../support/crash-rotate.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('a rotation removes what it has shown when its worker is killed around any of its activities', rotate, surviveCrash, [
  // All of them are gone, and nobody knows.
  'removeBackups#1 after',
  'removeOrphans#1 before',
]);

testPoints('a rotation that is cancelled at any of its activities leaves each backup whole or gone', cancelledRotate, cancelAt, [
  'removeBackups#1 before',
]);
