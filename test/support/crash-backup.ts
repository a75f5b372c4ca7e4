import { deepStrictEqual } from 'node:assert/strict';
import type { BackupManifest, BackupSummary } from '../../config/backup.ts';
import { testSpec } from './clusters.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, expectHealthy, type Subject, type Survivor } from './crash-harness.ts';
import { expectRemains, type Remains } from './crash-remains.ts';
import { fill, KEYS } from './crash-scaling.ts';

const list = ({ stack, cluster }: Subject) => execute<readonly BackupSummary[]>({ stack, cluster }, 'listBackups', { cluster });
const show = ({ stack, cluster }: Subject, backup: string) =>
  execute<BackupManifest>({ stack, cluster }, 'showBackup', { cluster, backup });

/** Three primaries with keys in them. */
export const backup: Survivor = {
  operation: 'backup',
  prepare: async (subject) => {
    await execute(subject, 'provision', { spec: testSpec(subject.cluster, { replicasPerShard: 0 }) });
    await fill(subject);
  },
  input: (cluster) => ({ cluster, fromPrimary: true }),
  check: async (subject, result) => {
    const { journal } = await expectHealthy(subject);
    deepStrictEqual(
      journal.filter(({ operation }) => operation === 'backup').map(({ outcome }) => outcome),
      ['done'],
    );
    const found = await list(subject);
    deepStrictEqual(
      found.map(({ id, keys, proof }) => [id, keys, proof?.how]),
      [[result.backup?.id, KEYS, 'loaded']],
    );
    const { shards, verified } = await show(subject, found[0]?.id ?? '');
    deepStrictEqual(
      verified?.shards.map(({ keys }) => keys),
      shards.map(({ keys }) => keys),
    );
  },
};

/** From then on it is a backup, whatever comes. */
const COMMITTED = ['verifyShard', 'recordVerification', 'discardBackup'];

/** Before its manifest is written nothing of it stays; afterwards all of it does, and it is called verified only if it was. */
export const cancelledBackup: Cancellable = {
  ...backup,
  undone: async (subject, good, { activity, occurrence, when }) => {
    const found = await list(subject);
    const committed = COMMITTED.includes(activity) || (activity === 'commitBackup' && occurrence === 1 && when === 'after');
    const verified = activity === 'recordVerification' && when === 'after';
    deepStrictEqual(
      found.map(({ proof }) => proof?.how),
      committed ? [verified ? 'loaded' : undefined] : [],
    );
    const remains: Remains = committed ? good.remains : { ...good.remains, backups: [] };
    await expectRemains(subject.stack, subject.cluster, remains);
    await expectHealthy(subject);
  },
};
