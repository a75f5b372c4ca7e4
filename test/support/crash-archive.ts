import { deepStrictEqual } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StatusReport } from '../../config/status.ts';
import { type ArchiveScene, GOES_ON_MS } from './archive-scene.ts';
import { execute } from './crash-harness.ts';
import { formatPoint, type Point } from './crash-points.ts';
import type { FaultyStore } from './faulty-store.ts';
import { until } from './processes.ts';

export { type ArchiveScene, archiveScene } from './archive-scene.ts';

/** Something that is done to an archive, and what must be true afterwards. */
export interface Disturbance {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** What is stored, by its key. */
const stored = { segment: /\.resp\.sealed/, base: /\/base\./, begin: /\/begin\.json/, end: /\.end\.json/ } as const;
type Stored = keyof typeof stored;

/** What becomes of a request while its worker is lost: it arrives when another one has taken over, or it is done and nobody knows. */
const FAULTS = ['late', 'unanswered'] as const;
/** What becomes of the worker: frozen, it goes on beside the one that took over. */
const LOSSES = ['killed', 'frozen'] as const;

/** Around the activities between two runs of a shard's; the one that follows a shard ends only when it is cancelled. */
const POINTS: readonly Point[] = [
  { activity: 'readCluster', occurrence: 1, when: 'before' },
  { activity: 'readCluster', occurrence: 1, when: 'after' },
  { activity: 'endTimelines', occurrence: 1, when: 'before' },
  { activity: 'endTimelines', occurrence: 1, when: 'after' },
  { activity: 'archiveShard', occurrence: 2, when: 'before' },
];

/** Longer than heartbeats may be missed. */
const AWAY_MS = 12_000;

/** The next request of a kind meets a fault. */
function spoilNext(store: FaultyStore, what: Stored, fault: (typeof FAULTS)[number] | 'silence'): () => Promise<unknown> {
  let met = false;
  store.spoil((method, url) => {
    if (met || method !== 'PUT' || !stored[what].test(decodeURIComponent(url))) return undefined;
    met = true;
    return fault;
  });
  return () => until(`a ${what} is stored`, async () => met, GOES_ON_MS);
}

export function disturbancesOf(scene: ArchiveScene): readonly Disturbance[] {
  const { store, subject } = scene;
  const { stack, cluster } = subject;
  const anew = async () => {
    await scene.switchOn(false);
    // Told to begin again before it has ended it would go on where it was, and rightly.
    await until('it has ended', async () => (await scene.timelines()).every((found) => found.at(-1)?.end !== undefined), GOES_ON_MS);
    await scene.switchOn(true);
  };
  const rotate = () => execute(subject, 'rotate', { cluster, graceSeconds: 0 });

  /** What is lost in the middle of storing something, after `begin`. */
  const lost = (what: Stored, fault: (typeof FAULTS)[number], loss: (typeof LOSSES)[number], begin: () => Promise<void>) => async () => {
    const { worker } = scene;
    const met = spoilNext(store, what, fault);
    await begin();
    await met().catch(async (error: Error) => {
      const { archive } = await execute<StatusReport>(subject, 'status', { cluster });
      const last = (await scene.timelines()).map((found) => found.at(-1)).map((one) => ({ ...one, segments: one?.segments.length }));
      throw new Error(`${error.message}: ${JSON.stringify(archive)}, ${JSON.stringify(last)}`);
    });
    process.kill(worker.pid, loss === 'killed' ? 'SIGKILL' : 'SIGSTOP');
    try {
      scene.startWorker();
      if (what === 'end') await scene.switchOn(true);
      await scene.goesOn();
      if (fault === 'unanswered') deepStrictEqual(await scene.strays(), []);
    } finally {
      store.mend();
      if (loss === 'frozen') process.kill(worker.pid, 'SIGCONT');
    }
    await scene.goesOn();
    await worker.kill('SIGKILL');
  };
  const losses = (what: Stored, begin: () => Promise<void>, faults: readonly (typeof FAULTS)[number][] = FAULTS) =>
    faults.flatMap((fault) => LOSSES.map((loss) => ({ name: `${what} ${fault}, ${loss}`, work: lost(what, fault, loss, begin) })));

  /** The archive only goes on. */
  const onward = (name: string, work: () => Promise<void>): { readonly name: string; readonly work: () => Promise<void> } => ({
    name,
    work: async () => {
      const count = async () => (await scene.timelines()).map(({ length }) => length);
      const before = await count();
      await work();
      await scene.goesOn();
      deepStrictEqual(await count(), before, 'timelines');
      deepStrictEqual(await scene.strays(), []);
    },
  });

  const away = async (meanwhile: () => Promise<void>) => {
    store.spoil(() => ({ status: 503 }));
    try {
      await meanwhile();
      await sleep(AWAY_MS);
    } finally {
      store.mend();
    }
  };

  const all = [
    ...losses('base', anew),
    ...losses('begin', anew),
    ...losses('end', () => scene.switchOn(false)),
    {
      name: 'rotated while a base is on its way',
      work: async () => {
        const met = spoilNext(store, 'base', 'silence');
        await anew();
        await met();
        await until('writes follow it', async () => (await scene.strays()).some((key) => stored.segment.test(key)), GOES_ON_MS);
        await rotate();
        store.mend();
        await scene.goesOn();
        deepStrictEqual(await scene.strays(), []);
      },
    },
    onward('frozen beside another', async () => {
      const { worker } = scene;
      process.kill(worker.pid, 'SIGSTOP');
      scene.startWorker();
      await scene.goesOn();
      process.kill(worker.pid, 'SIGCONT');
      await scene.goesOn();
      await worker.kill('SIGKILL');
    }),
    onward('Temporal restarted', () => stack.restartTemporal()),
    onward('Temporal restarted, worker killed', async () => {
      await scene.worker.kill('SIGKILL');
      await stack.restartTemporal();
      scene.startWorker();
    }),
    onward('store away', () => away(async () => undefined)),
    onward('store away, worker killed', () =>
      away(async () => {
        await scene.worker.kill('SIGKILL');
        scene.startWorker();
      }),
    ),
    ...losses('segment', async () => undefined).map(({ name, work }) => onward(name, work)),
    ...POINTS.map((point) =>
      onward(`killed at ${formatPoint(point)}`, async () => {
        await scene.worker.kill('SIGKILL');
        await scene.tell();
        deepStrictEqual(await scene.startWorker({ crashAt: point }).ended, 'SIGKILL');
        scene.startWorker();
      }),
    ),
  ];
  return all.map(({ name, work }) => ({
    name,
    run: async () => {
      try {
        await work();
        await scene.whole();
        // What came too late to belong to anything is found by the next rotation.
        await rotate();
        deepStrictEqual(await scene.strays(), []);
      } catch (error) {
        store.mend();
        const end = await Promise.race([scene.worker.ended, sleep(100, undefined)]);
        if (end === undefined) throw error;
        throw new Error(`${String(error)}; and the worker has ended: ${end}, ${stack.workerLog().slice(-3000)}`);
      }
    },
  }));
}
