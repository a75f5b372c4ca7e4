import { surviveCrash } from '../support/crash-harness.ts';
import { testPoints } from '../support/crash-suite.ts';
import { provisionSentinel } from '../support/crash-survivors.ts';

testPoints(
  'a provision in sentinel mode ends well when its worker is killed around any of its activities',
  provisionSentinel,
  surviveCrash,
  [
    // The replica or the primary alone is there; the sentinels, which come later, must follow the same primary.
    'ensureNode#2 after',
    // All sentinels are there, and have begun to speak to each other.
    'awaitFormed#1 before',
  ],
);
