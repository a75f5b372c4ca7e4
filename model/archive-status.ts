import type { ArchiveStatus, ShardArchiveProgress, ShardArchiveStatus } from '../config/archive.ts';
import type { ClusterSpec } from '../config/cluster-spec.ts';
import type { Finding, StatusReport } from '../config/status.ts';

/** What the activities said. */
export interface ArchiveProgress {
  /** When its workflow began its present run; missing when there is none. */
  readonly runningSinceMs?: number;
  readonly shards: readonly ShardArchiveProgress[];
}

/** So long a new one may take until every shard is followed. */
const NEW_MS = 30_000;

/** An attempt that said nothing for so long is not there any more: each says something every second. */
const SILENT_MS = 15_000;
/** Beyond so many times what is promised, and some seconds in which a worker is started anew, something is wrong. */
const LATE = { times: 5, afterMs: 15_000 };

/** What a worker said, with its times by the clock of Temporal, which heard it then: the worker's own may be wrong. What is archived goes by the server's clock and stays. */
export function asHeardAt(said: ShardArchiveProgress, heardMs: number): ShardArchiveProgress {
  if (heardMs === 0) return said; // nobody knows when
  const offMs = heardMs - said.atMs;
  const { waitingSinceMs, problem } = said;
  return {
    ...said,
    atMs: heardMs,
    ...(waitingSinceMs === undefined ? {} : { waitingSinceMs: waitingSinceMs + offMs }),
    ...(problem === undefined ? {} : { problem: { ...problem, sinceMs: problem.sinceMs + offMs } }),
  };
}

/** A report with how far the writes are archived, and what is wrong with that. */
export function withArchive(report: StatusReport, spec: ClusterSpec, progress: ArchiveProgress, nowMs: number): StatusReport {
  const archive = archiveStatus(spec, progress, nowMs);
  const isNew = nowMs - (progress.runningSinceMs ?? 0) < NEW_MS;
  return { ...report, archive, findings: [...report.findings, ...assessArchive(spec, archive, isNew)] };
}

function archiveStatus(spec: ClusterSpec, { runningSinceMs, shards }: ArchiveProgress, nowMs: number): ArchiveStatus {
  const said = new Map(shards.map((one) => [one.shard, one]));
  return {
    running: runningSinceMs !== undefined,
    shards: Array.from({ length: spec.shards }, (_, shard) => shardStatus(shard, said.get(shard), nowMs)),
  };
}

function shardStatus(shard: number, said: ShardArchiveProgress | undefined, nowMs: number): ShardArchiveStatus {
  if (said === undefined) return { shard };
  const { archivedToMs, waitingSinceMs, problem, node, timeline, clock, atMs } = said;
  const silent = nowMs - atMs > SILENT_MS;
  const since = Math.min(waitingSinceMs ?? nowMs, node === undefined ? (problem?.sinceMs ?? nowMs) : nowMs, silent ? atMs : nowMs);
  return {
    shard,
    ...(archivedToMs === undefined ? {} : { archivedTo: new Date(archivedToMs).toISOString() }),
    ...(node === undefined && problem === undefined ? {} : { lagMs: Math.max(0, nowMs - since) }),
    ...(node === undefined || silent ? {} : { node }),
    ...(timeline === undefined ? {} : { timeline }),
    ...(problem === undefined ? {} : { problem: problem.why }),
    ...(clock === undefined ? {} : { clock }),
  };
}

function assessArchive({ name, pitr }: ClusterSpec, { running, shards }: ArchiveStatus, isNew: boolean): readonly Finding[] {
  if (!running)
    return [
      {
        severity: 'warning',
        code: 'archive-stopped',
        subject: name,
        message: 'its writes are to be archived, and nobody does it',
        next: `switch pitr.enabled off and on again (holdfast apply), or start it: temporal workflow start --type archive --workflow-id cluster/${name}/archive --task-queue holdfast --input '{"cluster":"${name}"}'`,
      },
    ];
  return shards.flatMap(({ shard, lagMs, problem, clock }): readonly Finding[] => {
    const subject = `shard ${shard}`;
    const late = lagMs === undefined ? !isNew : lagMs > LATE.times * pitr.rpoSeconds * 1000 + LATE.afterMs;
    const behind = lagMs === undefined ? 'nobody follows its writes' : `its writes wait for ${Math.round(lagMs / 1000)} s to be archived`;
    return [
      ...(late
        ? [
            {
              severity: 'warning' as const,
              code: 'archive-behind',
              subject,
              message: `${behind}${problem === undefined ? '' : `: ${problem}`}`,
              next: `holdfast doctor; when it lasts longer than the servers keep writes (repl-backlog-size), there is a gap: holdfast recovery-window ${name}`,
            },
          ]
        : []),
      ...(clock === undefined
        ? []
        : [
            {
              severity: 'warning' as const,
              code: 'archive-clock',
              subject,
              message: `the time cannot be written to its primary, so no moment since can be found again: ${clock}`,
              next: `holdfast status ${name} shows what is wrong with the primary`,
            },
          ]),
    ];
  });
}
