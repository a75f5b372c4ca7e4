import { backup, cancelledBackup } from '../support/crash-backup.ts';
import { cancelAt } from '../support/crash-cancel.ts';
import { surviveCrash } from '../support/crash-harness.ts';
import { testPoints } from '../support/crash-suite.ts';

testPoints('a backup is whole and verified when its worker is killed around any of its activities', backup, surviveCrash, [
  // A shard lies in the bucket, and nobody knows: the next attempt stores it again.
  'backUpShard#2 after',
  // The manifest is there, and nobody knows.
  'commitBackup#1 after',
]);

testPoints(
  'a backup that is cancelled at any of its activities is whole or not there at all, and leaves no server behind',
  cancelledBackup,
  cancelAt,
  ['backUpShard#3 after', 'verifyShard#1 after'],
);
