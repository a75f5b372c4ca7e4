import type { RecoveryWindow } from '../../config/archive.ts';
import { backupKeys } from '../../config/names.ts';
import { testSpec, uniqueName } from './clusters.ts';
import { execute, type Subject, type Survivor } from './crash-harness.ts';
import { fill } from './crash-scaling.ts';
import { until } from './processes.ts';
import type { Stack } from './stack.ts';

/** A cluster that is gone, and what lies in the bucket of it. */
export interface Stored {
  readonly backup: string;
  /** Every key had been written by then, and something that was not to be was written later; of an archived one. */
  readonly at?: string;
  readonly objects: ReadonlyMap<string, Uint8Array>;
}

const found = new Map<string, Stored>();
const names = new Map<Stack, string>();

/** One name for all runs on a stack: what is sealed belongs to the name of its cluster. */
export function storedName(stack: Stack): string {
  const name = names.get(stack) ?? uniqueName('c');
  names.set(stack, name);
  return name;
}

export function storedOf(cluster: string): Stored {
  const stored = found.get(cluster);
  if (stored === undefined) throw new Error(`nothing was stored of ${cluster}`);
  return stored;
}

/** Begins from a cluster that was stored, and removed: made once for each stack, and put back into its bucket for each run. */
export const fromStored = (how: 'backup' | 'archive'): Pick<Survivor, 'clusterOn' | 'prepare'> => ({
  clusterOn: storedName,
  prepare: async (subject) => {
    const { cluster, stack } = subject;
    const { store } = stack.dependencies;
    const before = found.get(cluster);
    if (before !== undefined) {
      for (const [key, bytes] of before.objects) await store.put(key, bytes);
      return;
    }
    await execute(subject, 'provision', {
      spec: testSpec(cluster, { replicasPerShard: 0, ...(how === 'archive' ? { pitr: { enabled: true, rpoSeconds: 1 } } : {}) }),
    });
    const at = how === 'archive' ? await archived(subject) : undefined;
    if (at === undefined) await fill(subject);
    const { backup } = await execute(subject, 'backup', { cluster, fromPrimary: true, verify: 'checksum' });
    await execute(subject, 'deprovision', { cluster, confirm: cluster });
    const objects = new Map<string, Uint8Array>();
    for (const prefix of [backupKeys.backups(cluster), backupKeys.archives(cluster), backupKeys.keyCopies(cluster)])
      for (const key of await store.list(prefix)) objects.set(key, (await store.get(key)) ?? new Uint8Array());
    found.set(cluster, { backup: backup?.id ?? '', objects, ...(at === undefined ? {} : { at }) });
  },
});

/** The keys are written when all shards are archived, and more of them later. @returns a moment in between */
async function archived(subject: Subject): Promise<string> {
  const reached = async (moment: string) => {
    const { latest = '' } = await execute<RecoveryWindow>(subject, 'recoveryWindow', { cluster: subject.cluster });
    return latest > moment;
  };
  await until('the archive reaches something', () => reached(''), 60_000);
  await fill(subject);
  const written = new Date();
  await until('the keys are archived', () => reached(written.toISOString()), 60_000);
  const at = new Date();
  await until('a moment later is archived', () => reached(at.toISOString()), 60_000);
  await fill(subject, 'late');
  return at.toISOString();
}
