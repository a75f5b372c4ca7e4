import { deepStrictEqual } from 'node:assert/strict';
import { asApplication } from '../integration/ask.ts';
import { testSpec } from './clusters.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, expectHealthy, type Subject, type Survivor } from './crash-harness.ts';
import { expectRemains, remainsOf } from './crash-remains.ts';
import { expectEveryKey, fill, KEYS } from './crash-scaling.ts';

/** Ids of the backups that were made, by cluster. */
const made = new Map<string, string>();

const sizeOf = async (subject: Subject): Promise<number> => {
  const { shards } = await expectHealthy(subject);
  return shards.reduce((sum, { keys = 0 }) => sum + keys, 0);
};

/** The wrong keys were dropped, and something was written since. */
const damage = ({ stack, cluster }: Subject): Promise<void> =>
  asApplication(stack, cluster, async (app) => {
    for (let i = 0; i < KEYS; i += 2) await app.del(`key:${i}`);
    await app.set('since', 'then');
  });

/** A cluster gets its data of a backup in place. */
export const restoreInPlace: Survivor = {
  operation: 'restore',
  prepare: async (subject) => {
    const { cluster } = subject;
    await execute(subject, 'provision', { spec: testSpec(cluster, { replicasPerShard: 0 }) });
    await fill(subject);
    const { backup } = await execute(subject, 'backup', { cluster, fromPrimary: true, verify: 'checksum' });
    made.set(cluster, backup?.id ?? '');
    await damage(subject);
  },
  input: (cluster) => ({ cluster, backup: made.get(cluster), confirm: cluster }),
  check: async (subject, { restored }) => {
    const { stack, cluster } = subject;
    deepStrictEqual(restored?.keys, KEYS);
    deepStrictEqual(await sizeOf(subject), KEYS);
    await expectEveryKey(subject);
    // As an application: it is let in again.
    deepStrictEqual(await asApplication(stack, cluster, (app) => app.get('since')), null);
  },
};

/** It has what it had before, applications may use it, and nothing else is left. */
export const cancelledInPlace: Cancellable = {
  ...restoreInPlace,
  tooLate: ['commitData', 'applyUsers', 'clearFormerData'],
  undone: async (subject, good) => {
    const { stack, cluster } = subject;
    deepStrictEqual(await sizeOf(subject), KEYS / 2 + 1);
    deepStrictEqual(await asApplication(stack, cluster, (app) => app.get('since')), 'then');
    const { backups } = await remainsOf(stack, cluster);
    await expectRemains(stack, cluster, { ...good.remains, backups });
  },
};
