import { testCrashes } from '../support/crash-suite.ts';
import { configure } from '../support/crash-survivors.ts';

testCrashes('a configure ends well when its worker is killed around any of its activities', configure, [
  // Every server has the new user, and the keeper still holds the former spec.
  'applyUsers#1 after',
]);
