import { z } from 'zod';
import { clusterName } from './cluster-spec.ts';

/** What is told of data that was brought back. */

/** What a shard of a restored cluster is made of, as a plan shows it. */
export interface PlannedRecovery {
  readonly shard: number;
  /** The backup that its base is part of; missing when the base is the archive's own. */
  readonly backup?: string;
  /** Bytes of the base, and of the writes after it, as a server reads them. The latter is about right. */
  readonly baseBytes: number;
  readonly writeBytes: number;
  /** Archived pieces of its writes that are read. */
  readonly segments: number;
  /** The moment that was asked for, or the latest that there was; missing where a backup was. ISO 8601. */
  readonly asOf?: string;
  /** The moment that it is brought back to: everything that was written then or before, and nothing that was later. ISO 8601, by the clock of its server. */
  readonly at: string;
}

/** What the operation tells of a cluster that it brought back. */
export interface RestoreReport {
  /** The cluster whose data it is. */
  readonly source: string;
  /** As in the plan, with what was found. */
  readonly shards: readonly PlannedRecovery[];
  /** Keys that its servers loaded: of a backup all that it has, and those whose time was over are gone by now; else those that there were in the end. */
  readonly keys: number;
  /** Of them: keys whose time was over. */
  readonly expired: number;
  /** Until every shard had its data and served it, without replicas; ms. */
  readonly loadedMs: number;
  /** In place: the backup of what the cluster had before. It is held. */
  readonly before?: string;
}

/** That a cluster is being brought back, until it is accepted or gone: whoever is ended in the middle leaves this, and a cluster that has part of the data. */
export const restoreMark = z.strictObject({
  cluster: clusterName,
  /** Whose data, and as of when. */
  source: clusterName,
  what: z.string(),
  /** Tells what is brought back from anything else. */
  id: z.string(),
  startedAt: z.iso.datetime(),
});
export type RestoreMark = z.output<typeof restoreMark>;

/** What the last drill of a cluster found; it lies in the bucket as JSON. */
export const drillReport = z.strictObject({
  cluster: clusterName,
  /** Whether the data came back as it was told to be. */
  ok: z.boolean(),
  /** In a sentence: what came back, or why it did not. */
  summary: z.string(),
  startedAt: z.iso.datetime(),
  /** Until every shard served its data; missing when it did not come so far. ms. */
  recoveredMs: z.int().min(0).optional(),
  /** The moment that it was brought back to. */
  at: z.iso.datetime().optional(),
  keys: z.int().min(0).optional(),
});
export type DrillReport = z.output<typeof drillReport>;
