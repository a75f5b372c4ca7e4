import { surviveCrash } from '../support/crash-harness.ts';
import { fewerReplicas, moreReplicas } from '../support/crash-scaling.ts';
import { all, testPoints } from '../support/crash-suite.ts';

testPoints(
  'replicas leave well, of which one leads, when the worker is killed around any activity that removes them',
  fewerReplicas,
  surviveCrash,
  [
    // Another one leads, and the leaving one is still there.
    'promoteReplica#1 after',
  ],
);

if (all) testPoints('replicas come well when the worker is killed around any activity that makes them', moreReplicas, surviveCrash, []);
