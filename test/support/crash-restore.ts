import { deepStrictEqual } from 'node:assert/strict';
import { runInContainer } from '../../activities/docker/containers.ts';
import { backupKeys, nodeName, nodePaths } from '../../config/names.ts';
import type { Cancellable } from './crash-cancel.ts';
import { execute, expectHealthy, type Subject, type Survivor } from './crash-harness.ts';
import { expectRemains, nothing, type Remains } from './crash-remains.ts';
import { expectEveryKey, KEYS } from './crash-scaling.ts';
import { fromStored, storedOf } from './crash-stored.ts';

const ofBackup = (cluster: string) => ({ backup: storedOf(cluster).backup });

/** A cluster that is gone is brought back under its own name, which is free. */
const restoring = (which: (cluster: string) => object, changes: object, from: 'backup' | 'archive'): Survivor => ({
  operation: 'restore',
  ...fromStored(from),
  input: (cluster) => ({ cluster, ...which(cluster), into: cluster, changes }),
  check: async (subject) => {
    const { shards, journal } = await expectHealthy(subject);
    const sum = shards.reduce((total, { keys = 0 }) => total + keys, 0);
    // An archived shard has a key with the time, which ends by itself.
    deepStrictEqual(sum >= KEYS && sum <= KEYS + (from === 'archive' ? shards.length : 0), true, `${sum} keys`);
    await expectEveryKey(subject);
    deepStrictEqual(
      journal.map(({ operation, outcome }) => [operation, outcome]),
      [['restore', 'done']],
    );
  },
});

/** Each shard begins with its data. */
export const restore = restoring(ofBackup, {}, 'backup');

/** Times to live are shifted, so the servers write their files anew. */
export const restoreShifted = restoring((cluster) => ({ ...ofBackup(cluster), ttl: 'shift' }), {}, 'backup');

const elsewhere = restoring(ofBackup, { shards: 4 }, 'backup');

/** Keys are spread over another number of shards. */
export const restoreElsewhere: Survivor = {
  ...elsewhere,
  check: async (subject, result) => {
    await elsewhere.check(subject, result);
    deepStrictEqual(await strayFiles(subject), []);
  },
};

/** Keys are sent to another number of shards by servers. */
export const copyElsewhere = restoring((cluster) => ({ ...ofBackup(cluster), include: ['*'] }), { shards: 4 }, 'backup');

/** Files beside a server's append-only ones that its list does not name. */
async function strayFiles({ stack, cluster }: Subject): Promise<readonly string[]> {
  const { docker } = stack.dependencies;
  const look = `cd ${nodePaths.appendOnly} && for one in *; do grep -qF "$one " *.manifest || echo "$one"; done`;
  const said = await Promise.all([0, 1, 2, 3].map((shard) => runInContainer(docker, nodeName(cluster, shard, 0), ['sh', '-c', look])));
  return said.flatMap((text) => (text ?? 'no answer').trim().split('\n')).filter((name) => name !== 'appendonly.aof.manifest');
}

/** A base and the writes after it, up to a moment. */
export const restoreMoment = restoring(
  (cluster) => ({ at: storedOf(cluster).at }),
  { replicasPerShard: 0, pitr: { enabled: false } },
  'archive',
);

/** Of what was made nothing is left; what it was made from is. */
const takenBack = (survivor: Survivor): Cancellable => ({
  ...survivor,
  undone: ({ stack, cluster }, good) => expectRemains(stack, cluster, { ...nothing, backups: good.remains.backups }),
});
export const cancelledRestore = takenBack(restore);
export const cancelledRestoreShifted = takenBack(restoreShifted);
export const cancelledRestoreElsewhere = takenBack(restoreElsewhere);
export const cancelledCopyElsewhere = takenBack(copyElsewhere);
export const cancelledRestoreMoment = takenBack(restoreMoment);

const drillOf = (subject: Subject) => subject.stack.dependencies.store.get(backupKeys.drill(subject.cluster));

/** Nothing stays of it but its report. */
export const drill: Survivor = {
  operation: 'drill',
  ...fromStored('archive'),
  input: (cluster) => ({ cluster, at: storedOf(cluster).at }),
  check: async (subject, { restored }) => {
    deepStrictEqual((restored?.keys ?? 0) >= KEYS, true);
    const { ok, keys } = JSON.parse(Buffer.from((await drillOf(subject)) ?? []).toString());
    deepStrictEqual([ok, keys], [true, restored?.keys]);
  },
};

export const cancelledDrill: Cancellable = {
  ...drill,
  undone: async (subject, good, { activity, when }) => {
    const recorded = activity === 'recordDrill' && when === 'after';
    const remains: Remains = recorded
      ? good.remains
      : { ...good.remains, backups: good.remains.backups.filter((key) => !key.endsWith('/drill.json')) };
    await expectRemains(subject.stack, subject.cluster, remains);
    // It can be made again.
    if (!recorded) await drill.check(subject, await execute(subject, 'drill', drill.input(subject.cluster)));
  },
};
