import { surviveCrash } from '../support/crash-harness.ts';
import { scaleOut } from '../support/crash-scaling.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('a scale out ends well when its worker is killed around any of its activities', scaleOut, surviveCrash, [
  // All slots have moved, and nobody knows but the cluster.
  'moveSlots#1 after',
]);
