import { setCurrentDetails } from '@temporalio/workflow';
import type { ArchiveDescription, ShardArchiveSummary } from '../../config/archive.ts';

/** What the archive of a cluster answers and shows of itself. */
export interface ArchiveBoard {
  readonly now: () => ArchiveDescription;
  state(state: ArchiveDescription['state']): void;
  begin(shards: number): void;
  /** What was looked at now. */
  looked(shards: readonly ShardArchiveSummary[]): void;
  /** Why a shard, or all of it, does not go on; undefined when it does. */
  problem(shard: number | 'all', why: string | undefined): void;
}

export function createArchiveBoard(cluster: string): ArchiveBoard {
  let [state, lookedAt]: [ArchiveDescription['state'], string | undefined] = ['waiting', undefined];
  let shards: readonly ShardArchiveSummary[] = [];
  const problems = new Map<number | 'all', string>();
  const now = (): ArchiveDescription => {
    const problem = problems.get('all');
    return {
      cluster,
      state,
      ...(problem === undefined ? {} : { problem }),
      shards: shards.map((shard) => {
        const why = problems.get(shard.shard);
        return why === undefined ? shard : { ...shard, problem: why };
      }),
      ...(lookedAt === undefined ? {} : { lookedAt }),
    };
  };
  const show = () => setCurrentDetails(render(now()));
  show();
  return {
    now,
    state(next) {
      state = next;
      show();
    },
    begin(count) {
      state = 'archiving';
      shards = Array.from(
        { length: count },
        (_, shard) => shards.find((one) => one.shard === shard) ?? { shard, timelines: 0, segments: 0, gaps: 0 },
      );
      show();
    },
    looked(found) {
      shards = found;
      lookedAt = new Date().toISOString();
      show();
    },
    problem(shard, why) {
      if (problems.get(shard) === why) return;
      if (why === undefined) problems.delete(shard);
      else problems.set(shard, why);
      show();
    },
  };
}

function render({ cluster, state, problem, shards, lookedAt }: ArchiveDescription): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', '<br>');
  const rows = shards.map(
    ({ shard, from = '', to = '', timelines, segments, gaps, problem: why = '' }) =>
      `| ${shard} | ${from} | ${to} | ${timelines} | ${segments} | ${gaps} | ${cell(why)} |`,
  );
  return [
    `**archive of ${cluster}**: ${state}`,
    ...(problem === undefined ? [] : [`⚠️ ${problem}`]),
    ...(rows.length === 0
      ? []
      : [['| shard | from | to | timelines | segments | gaps | |', '|---|---|---|---|---|---|---|', ...rows].join('\n')]),
    ...(lookedAt === undefined ? [] : [`as of ${lookedAt}; how far it is now: holdfast status ${cluster}`]),
  ].join('\n\n');
}
