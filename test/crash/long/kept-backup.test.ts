import { cancelAt } from '../../support/crash-cancel.ts';
import { surviveCrash } from '../../support/crash-harness.ts';
import { cancelledHold, cancelledVerifyBackup, hold, verifyBackup } from '../../support/crash-kept.ts';
import { testPoints } from '../../support/crash-suite.ts';

// What is done with a backup whose cluster is gone. A normal run has the same activities in those of a backup.
testPoints('a backup is verified once more, and no server is left of it', verifyBackup, surviveCrash, []);
testPoints('a verification that is cancelled leaves the backup as proved as it was, and no server', cancelledVerifyBackup, cancelAt, []);
testPoints('a backup is held', hold, surviveCrash, []);
testPoints('a hold that is cancelled is there, or is not', cancelledHold, cancelAt, []);
