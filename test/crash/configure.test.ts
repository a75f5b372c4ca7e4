import { surviveCrash } from '../support/crash-harness.ts';
import { testPoints } from '../support/crash-suite.ts';
import { configure } from '../support/crash-survivors.ts';

testPoints('a configure ends well when its worker is killed around any of its activities', configure, surviveCrash, [
  // Every server has the new user, and the keeper still holds the former spec.
  'applyUsers#1 after',
]);
