import { surviveCrash } from '../support/crash-harness.ts';
import { scaleIn } from '../support/crash-scaling.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('a scale in ends well when its worker is killed around any of its activities', scaleIn, surviveCrash, [
  // Every node has forgotten those that leave, and they run all the same.
  'forgetNodes#1 after',
]);
