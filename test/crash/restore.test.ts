import { cancelAt } from '../support/crash-cancel.ts';
import { surviveCrash } from '../support/crash-harness.ts';
import {
  cancelledCopyElsewhere,
  cancelledDrill,
  cancelledRestore,
  cancelledRestoreElsewhere,
  cancelledRestoreMoment,
  cancelledRestoreShifted,
  copyElsewhere,
  drill,
  restore,
  restoreElsewhere,
  restoreMoment,
  restoreShifted,
} from '../support/crash-restore.ts';
import { all, testPoints } from '../support/crash-suite.ts';

testPoints('a restore ends with every key when its worker is killed around any of its activities', restore, surviveCrash, [
  // The data lies there, and nobody knows; the other shard's is half there: it is laid out anew.
  'fillShard#2 after',
  // Servers have begun to load.
  'awaitLoaded#1 before',
]);

testPoints('a restore that is cancelled at any of its activities leaves nothing but the backup', cancelledRestore, cancelAt, [
  'fillShard#3 before',
]);

testPoints(
  'a restore into another number of shards ends with every key, and with no file that nobody reads',
  restoreElsewhere,
  surviveCrash,
  [
    // All of its pieces lie there, and nobody knows: they are made once more, and the first ones go.
    'spreadShard#2 after',
  ],
);

if (all) {
  const rewritten = ['rewriteFiles#1 before', 'rewriteFiles#1 after', 'rewriteFiles#3 before', 'rewriteFiles#3 after'];
  testPoints('a restore with times shifted ends with every key', restoreShifted, surviveCrash, rewritten, 'these');
  testPoints(
    'a restore with times shifted that is cancelled leaves nothing but the backup',
    cancelledRestoreShifted,
    cancelAt,
    rewritten,
    'these',
  );
  testPoints('a restore of a moment ends with every key of then', restoreMoment, surviveCrash, []);
  testPoints('a restore of a moment that is cancelled leaves nothing', cancelledRestoreMoment, cancelAt, []);
  const copied = [
    'copyShard#1 before',
    'copyShard#2 after',
    'copyShard#3 after',
    'removeCopySources#1 before',
    'removeCopySources#1 after',
  ];
  testPoints('a restore that servers send the keys of ends with every key', copyElsewhere, surviveCrash, copied, 'these');
  testPoints(
    'a restore that servers send the keys of and that is cancelled leaves nothing but the backup',
    cancelledCopyElsewhere,
    cancelAt,
    copied,
    'these',
  );
  testPoints(
    'a restore into another number of shards that is cancelled leaves nothing but the backup',
    cancelledRestoreElsewhere,
    cancelAt,
    [],
  );
  testPoints('a drill is recorded, and nothing is left of what it made', drill, surviveCrash, []);
  testPoints('a drill that is cancelled leaves nothing, and can be made again', cancelledDrill, cancelAt, []);
}
