import { surviveCrash } from '../support/crash-harness.ts';
import { testPoints } from '../support/crash-suite.ts';
import { deprovision } from '../support/crash-survivors.ts';

testPoints('a deprovision ends well when its worker is killed around any of its activities', deprovision, surviveCrash, [
  // Some containers are gone, others are about to go.
  'removeNode#2 after',
  // The secrets are gone: nothing afterwards may need them.
  'removeSecrets#1 after',
]);
