import { deepStrictEqual } from 'node:assert/strict';
import type { BackupManifest } from '../../config/backup.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, type Subject, type Survivor } from './crash-harness.ts';
import { expectRemains } from './crash-remains.ts';
import { fromStored, storedOf } from './crash-stored.ts';

const show = ({ stack, cluster }: Subject) =>
  execute<BackupManifest>({ stack, cluster }, 'showBackup', { cluster, backup: storedOf(cluster).backup });

/** A backup that was only read again is loaded, when its cluster is gone. */
export const verifyBackup: Survivor = {
  operation: 'verifyBackup',
  ...fromStored('backup'),
  input: (cluster) => ({ cluster, backup: storedOf(cluster).backup }),
  check: async (subject) => deepStrictEqual((await show(subject)).verified?.how, 'loaded'),
};

export const cancelledVerifyBackup: Cancellable = {
  ...verifyBackup,
  undone: async (subject, good, { activity, when }) => {
    const recorded = activity === 'recordVerification' && when === 'after';
    deepStrictEqual((await show(subject)).verified?.how, recorded ? 'loaded' : 'opened');
    await expectRemains(subject.stack, subject.cluster, good.remains);
  },
};

export const hold: Survivor = {
  operation: 'hold',
  ...fromStored('backup'),
  input: (cluster) => ({ cluster, backup: storedOf(cluster).backup, reason: 'somebody needs it' }),
  check: async (subject) => deepStrictEqual((await show(subject)).hold?.reason, 'somebody needs it'),
};

export const cancelledHold: Cancellable = {
  ...hold,
  undone: async (subject, good, { activity, when }) => {
    deepStrictEqual((await show(subject)).hold !== undefined, activity === 'setHold' && when === 'after');
    await expectRemains(subject.stack, subject.cluster, good.remains);
  },
};
