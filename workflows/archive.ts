import {
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { type ArchiveDescription, archiveHandlers, archiveInput } from '../config/archive.ts';
import type { ClusterSpec } from '../config/cluster-spec.ts';
import { hostOf } from '../model/known-cluster.ts';
import { createArchiveBoard } from './support/archive-board.ts';
import { isCancellation, reasonOf } from './support/failure.ts';
import { readInput } from './support/input.ts';
import { archiveControl, archives, tendsArchive } from './support/proxies.ts';

/** A run stays small enough to be replayed in a moment. */
const EVENTS_A_RUN = 2000;
/** After a failure that trying again at once cannot mend. */
const PAUSE = '1 minute';
/** Small segments are put together so often, and the archive is looked at. */
const TIDY_EVERY = '10 minutes';

/**
 * Archives the writes of a cluster for as long as its spec says so: an activity for each shard, which lives a day and is begun anew. Holds no lock. Told when the spec may be another
 * one; what is true of it, it reads itself.
 */
export async function archive(raw: unknown): Promise<void> {
  const { cluster } = readInput(archiveInput, raw, 'archive');
  const board = createArchiveBoard(cluster);
  let [changes, stopped] = [0, false];
  setHandler(defineQuery<ArchiveDescription>(archiveHandlers.describe), board.now);
  setHandler(defineSignal(archiveHandlers.changed), () => {
    changes++;
  });
  setHandler(defineSignal(archiveHandlers.stop), () => {
    stopped = true;
  });
  const isLong = () => workflowInfo().continueAsNewSuggested || workflowInfo().historyLength > EVENTS_A_RUN;

  for (;;) {
    const seen = changes;
    const asOf = () => seen === changes && !stopped;
    const known = await persistently(() => archiveControl.readCluster(cluster));
    if (stopped || known.spec?.pitr.enabled !== true || known.clusterId === undefined) {
      board.state('ending');
      await persistently(() => archiveControl.endTimelines(cluster, stopped ? 'removed' : 'switched-off', 0));
      if (stopped || asOf()) return;
      continue;
    }
    await archiveShards(known.spec, known.clusterId, () => !asOf() || isLong());
    if (asOf()) await continueAsNew<typeof archive>({ cluster });
  }

  /** Until `over`; then every activity has ended. */
  async function archiveShards(spec: ClusterSpec, clusterId: string, over: () => boolean): Promise<void> {
    board.begin(spec.shards);
    // A scale may have taken some away.
    await persistently(() => archiveControl.endTimelines(cluster, 'removed', spec.shards));
    const scope = new CancellationScope({ cancellable: true });
    const shards = Array.from({ length: spec.shards }, (_, shard) => shard);
    const running = scope.run(() => Promise.all([...shards.map((shard) => keepArchiving(spec, clusterId, shard)), keepTidy(hostOf(spec))]));
    await Promise.race([condition(over), running]);
    scope.cancel();
    await running.catch((error: unknown) => {
      if (!isCancellation(error)) throw error;
    });
  }

  async function keepArchiving(spec: ClusterSpec, clusterId: string, shard: number): Promise<never> {
    for (;;) {
      try {
        await archives(hostOf(spec), `shard ${shard}`).archiveShard({ spec, clusterId, shard });
        board.problem(shard, undefined);
      } catch (error) {
        if (isCancellation(error)) throw error;
        board.problem(shard, reasonOf(error));
        await sleep(PAUSE);
      }
    }
  }

  async function keepTidy(host: string): Promise<never> {
    for (;;) {
      await sleep(TIDY_EVERY);
      try {
        board.looked(await tendsArchive(host).tendArchive(cluster));
      } catch (error) {
        if (isCancellation(error)) throw error; // else it is done the next time, and what is wrong with the store is told by the shards
      }
    }
  }

  async function persistently<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const result = await work();
        board.problem('all', undefined);
        return result;
      } catch (error) {
        if (isCancellation(error)) throw error;
        board.problem('all', reasonOf(error));
        await sleep(PAUSE);
      }
    }
  }
}
