import { deepStrictEqual } from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { readArchive } from '../../activities/archive/read-archive.ts';
import { archiveHandlers } from '../../config/archive.ts';
import type { ClusterSpecInput } from '../../config/cluster-spec.ts';
import { archiveWorkflowId, backupKeys, nodeName } from '../../config/names.ts';
import type { StatusReport } from '../../config/status.ts';
import { piecesFrom, type Timeline } from '../../model/recovery/archive.ts';
import { heldAndArchived, replayed } from './archived-shard.ts';
import { testSpec } from './clusters.ts';
import { beginCluster, execute, meddlingWorker, type Subject } from './crash-harness.ts';
import { type Meddling, meddlingVariable } from './crash-points.ts';
import { operatorOf } from './crash-scaling.ts';
import { type FaultyStore, startFaultyStore } from './faulty-store.ts';
import { createLoadClient } from './load-client.ts';
import { endOf } from './lone-archive.ts';
import { type Running, until } from './processes.ts';
import type { Stack } from './stack.ts';

const SHARDS = [0, 1, 2];
/** An archive goes on within this, whatever was done to it: heartbeats are missed first. */
export const GOES_ON_MS = 180_000;

/** A cluster that is written to and archived, by workers that reach the bucket through a store that fails on demand. */
export interface ArchiveScene {
  readonly subject: Subject;
  readonly store: FaultyStore;
  /** The one that was started last. */
  readonly worker: Running;
  startWorker(meddling?: Meddling): Running;
  /** Tells the archive that its spec may be another one. */
  tell(): Promise<void>;
  /** Archives it from now on, or not any more. */
  switchOn(on: boolean): Promise<void>;
  timelines(): Promise<readonly (readonly Timeline[])[]>;
  /** Every shard is archived further than now, without a gap, and by its board nothing is in its way. */
  goesOn(): Promise<void>;
  /** What is archived is what the shards hold. */
  whole(): Promise<void>;
  /** Keys in the bucket that belong to no timeline, and uploads that nobody ends. */
  strays(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export async function archiveScene(stack: Stack): Promise<ArchiveScene> {
  const subject = beginCluster(stack);
  const { cluster } = subject;
  const bucket = stack.dependencies.store;
  const store = await startFaultyStore(stack.settings.HOLDFAST_S3_ENDPOINT);
  const env = { HOLDFAST_S3_ENDPOINT: store.endpoint };
  const specOf = (enabled: boolean): ClusterSpecInput => testSpec(cluster, { replicasPerShard: 0, pitr: { enabled, rpoSeconds: 1 } });
  let worker: Running;
  const startWorker = (meddling?: Meddling): Running => {
    const more = meddling === undefined ? {} : { entry: meddlingWorker };
    worker = stack.startWorker({ env: { ...env, [meddlingVariable]: JSON.stringify(meddling ?? {}) }, ...more });
    return worker;
  };
  startWorker();
  await execute(subject, 'provision', { spec: specOf(true) });

  let writing = true;
  const client = createLoadClient(await operatorOf(subject));
  const written = (async () => {
    for (let n = 0; writing; n++) {
      const { end } = await client.call('SET', `load:${n % 2000}`, `${n} `.repeat(40));
      await sleep(end === 'ok' ? 5 : 200);
    }
  })();

  const timelinesOf = (shard: number) => readArchive(bucket, cluster, shard);
  const timelines = () => Promise.all(SHARDS.map(timelinesOf));
  return {
    subject,
    store,
    get worker() {
      return worker;
    },
    startWorker,
    tell: () => stack.client.workflow.getHandle(archiveWorkflowId(cluster)).signal(archiveHandlers.changed),
    async switchOn(on) {
      await execute(subject, 'configure', { spec: specOf(on) });
    },
    timelines,
    async goesOn() {
      const before = (await timelines()).map((found) => endOf(found.at(-1)));
      for (const shard of SHARDS) {
        let seen: object | undefined;
        await until(
          `shard ${shard} is archived further, without a gap`,
          async () => {
            const found = (await timelinesOf(shard)).at(-1);
            if (found === undefined) return false;
            const { begin, end, segments } = found;
            const [to, whole] = [endOf(found), piecesFrom(found, begin.base.offset).at(-1)?.to]; // several are on their way, and the later one may be there first
            seen = { begin, end, segments: segments.length, to, whole };
            return end === undefined && to > Math.max(before[shard] ?? 0, begin.base.offset) && to === whole;
          },
          GOES_ON_MS,
        ).catch((error: unknown) => {
          throw new Error(`${String(error)}: ${JSON.stringify(seen)}`);
        });
      }
      let seen: unknown;
      await until(
        'its board says that all is well',
        async () => {
          const report = await execute<StatusReport>(subject, 'status', { cluster }).catch((error: unknown) => {
            seen = String(error); // it is not waited for long, and is asked again
          });
          const archive = report?.archive;
          seen = archive ?? seen;
          const well = archive?.shards.filter(
            ({ problem, node, lagMs }) => problem === undefined && node !== undefined && (lagMs ?? 60_000) < 10_000,
          );
          return well?.length === SHARDS.length;
        },
        GOES_ON_MS,
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}: ${JSON.stringify(seen)}`);
      });
    },
    async whole() {
      for (const shard of SHARDS) {
        const { held, timelines: found } = await heldAndArchived(stack, specOf(true), shard, nodeName(cluster, shard, 0));
        deepStrictEqual(await replayed(stack, specOf(true), found.at(-1)), held, `shard ${shard}`);
      }
    },
    async strays() {
      const prefix = backupKeys.archives(cluster);
      const begun = (await timelines()).flat().map(({ begin }) => begin);
      const owner = (key: string) => begun.find(({ shard, id }) => key.startsWith(backupKeys.timeline(cluster, shard, id)));
      const keys = await bucket.list(prefix);
      return [
        ...keys.filter((key) => owner(key) === undefined || (key.includes('/base.') && owner(key)?.base.key !== key)),
        ...begun.filter(({ base }) => !keys.includes(base.key)).map(({ base }) => `no ${base.key}`),
        ...(await bucket.listUploads(prefix)).map(({ key }) => `an upload of ${key}`),
      ];
    },
    async stop() {
      writing = false;
      await written;
      client.close();
      store.close();
    },
  };
}
