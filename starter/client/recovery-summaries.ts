import type { RecoveryGap, RecoveryWindow } from '../../config/archive.ts';
import type { KeyReport } from '../../config/keys.ts';
import type { ClusterSummary } from '../../config/status.ts';

/** To which moments one cluster can be brought back, in short. */
export interface RecoverySummary {
  readonly cluster: string;
  /** It is not on record and has no containers: only what is stored of it is left. */
  readonly gone: boolean;
  /** ISO 8601, by the servers' clocks; missing while no moment can be reached. */
  readonly earliest?: string;
  readonly latest?: string;
  /** Times between the two to no moment of which the cluster as a whole can be brought back. */
  readonly gaps: readonly RecoveryGap[];
  /** Why nothing can be brought back, or nothing later, and what has been lost. Empty when nothing is amiss. */
  readonly amiss: readonly string[];
}

/** What is asked about all clusters. */
export interface RecoveryQuestions {
  list(): Promise<readonly Pick<ClusterSummary, 'cluster'>[]>;
  keys(): Promise<{ readonly clusters: readonly Pick<KeyReport['clusters'][number], 'cluster'>[] }>;
  recoveryWindow(cluster: string): Promise<RecoveryWindow>;
  /** Whether there is any. */
  hasBackup(cluster: string): Promise<boolean>;
}

/** So many clusters are asked about side by side. */
const AT_ONCE = 16;

/** Every cluster that is there or of which anything is stored, by name; one that cannot be looked at is told as such, and keeps no other from being shown. */
export async function summarizeRecovery(questions: RecoveryQuestions): Promise<readonly RecoverySummary[]> {
  const [there, sealed] = await Promise.all([questions.list(), questions.keys()]);
  const kept = new Set(there.map(({ cluster }) => cluster));
  const names = [...new Set([...kept, ...sealed.clusters.map(({ cluster }) => cluster)])].toSorted();
  const found: RecoverySummary[] = [];
  for (let from = 0; from < names.length; from += AT_ONCE) {
    const some = names.slice(from, from + AT_ONCE).map((name) => summarizeCluster(questions, name, !kept.has(name)));
    found.push(...(await Promise.all(some)).flatMap((one) => one ?? []));
  }
  return found;
}

/** Undefined when it is gone and nothing can be brought back. */
async function summarizeCluster(questions: RecoveryQuestions, cluster: string, gone: boolean): Promise<RecoverySummary | undefined> {
  try {
    const window = await questions.recoveryWindow(cluster);
    if (window.shards.length > 0) return summaryOf(window, gone);
    const backed = await questions.hasBackup(cluster);
    const why = backed ? 'nothing is archived: only its backups can be restored' : 'nothing is archived, and there is no backup';
    return gone && !backed ? undefined : { cluster, gone, gaps: [], amiss: [why] };
  } catch (error) {
    const [why = ''] = (error instanceof Error ? error.message : String(error)).split('\n', 1);
    return { cluster, gone, gaps: [], amiss: [why] };
  }
}

const MOVING = 'slots were on their way between shards, or not every shard could be brought back to one moment';

/** A window in short. */
export function summaryOf({ cluster, spans, earliest, latest, shards }: RecoveryWindow, gone: boolean): RecoverySummary {
  const ofShards = shards.flatMap((shard) => shard.gaps);
  const gaps = spans.slice(1).map(({ from: to }, before): RecoveryGap => {
    const from = spans[before]?.to ?? to;
    const reasons = ofShards.filter((gap) => gap.to !== undefined && (gap.from ?? '') < to && gap.to > from).map(({ why }) => why);
    return { from, to, why: distinct(reasons).join('; ') || MOVING };
  });
  const without = shards.filter((shard) => shard.spans.length === 0).map(({ shard }) => shard);
  const dropped = shards.flatMap((shard) => shard.dropped).reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    cluster,
    gone,
    ...(earliest === undefined ? {} : { earliest }),
    ...(latest === undefined ? {} : { latest }),
    gaps,
    amiss: [
      ...(spans.length > 0 ? [] : ['no moment to which every shard can be brought back']),
      ...(without.length === 0 ? [] : [`nothing can be brought back of shard ${without.join(', ')}`]),
      ...(gone ? [] : distinct(ofShards.filter(({ to }) => to === undefined).map(({ why }) => why))),
      ...(dropped === 0 ? [] : [`failovers dropped ${dropped} bytes of writes`]),
    ],
  };
}

const distinct = (texts: readonly string[]): readonly string[] => [...new Set(texts)];
