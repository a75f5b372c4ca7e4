import { deepStrictEqual } from 'node:assert/strict';
import { testSpec } from './clusters.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, expectHealthy, type Survivor } from './crash-harness.ts';
import { expectRemains, nothing } from './crash-remains.ts';
import { fill, KEYS } from './crash-scaling.ts';

/** Ids of the backups that were made, by cluster. */
const made = new Map<string, string>();

/** A cluster was backed up, and removed: it is brought back under its own name, which is free. */
const restoring = (changes: object): Survivor => ({
  operation: 'restore',
  prepare: async (subject) => {
    const { cluster } = subject;
    await execute(subject, 'provision', { spec: testSpec(cluster, { replicasPerShard: 0 }) });
    await fill(subject);
    const { backup } = await execute(subject, 'backup', { cluster, fromPrimary: true, verify: 'checksum' });
    made.set(cluster, backup?.id ?? '');
    await execute(subject, 'deprovision', { cluster, confirm: cluster });
  },
  input: (cluster) => ({ cluster, backup: made.get(cluster), into: cluster, changes }),
  check: async (subject, { restored }) => {
    deepStrictEqual(restored?.keys, KEYS);
    const { shards, journal } = await expectHealthy(subject);
    deepStrictEqual(
      shards.reduce((sum, { keys = 0 }) => sum + keys, 0),
      KEYS,
    );
    deepStrictEqual(
      journal.map(({ operation, outcome }) => [operation, outcome]),
      [['restore', 'done']],
    );
  },
});

/** Each shard begins with its data. */
export const restore = restoring({});

/** Keys are sent to another number of shards. */
export const restoreElsewhere = restoring({ shards: 4 });

/** Of what was made nothing is left; the backup is. */
const takenBack = (survivor: Survivor): Cancellable => ({
  ...survivor,
  undone: ({ stack, cluster }, good) => expectRemains(stack, cluster, { ...nothing, backups: good.remains.backups }),
});
export const cancelledRestore = takenBack(restore);
export const cancelledRestoreElsewhere = takenBack(restoreElsewhere);
