import type { ClusterSummary } from '../../../config/status.ts';
import type { OperationState, OperationSummary } from '../../client/operation-list.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatDuration, formatTime } from './units.ts';

const statePaint = (state: ClusterSummary['state'], style: Style) =>
  ({ kept: style.good, orphaned: style.warn, unreachable: style.bad })[state];

export function renderClusters(clusters: readonly ClusterSummary[], wide: boolean, style: Style): string {
  if (clusters.length === 0) return 'There are no clusters.\n  next: holdfast apply -f spec.yaml';
  const headings = ['CLUSTER', 'STATE', 'ENGINE', 'MODE', 'SHARDS', 'CONTAINERS', ...(wide ? ['REPLICAS', 'GENERATION'] : [])];
  const rows = clusters.map((c) => {
    // Of a host that nobody could ask it is not known what runs there.
    const containers = c.state === 'unreachable' ? '-' : `${c.running}/${c.containers}`;
    return [
      c.cluster,
      statePaint(c.state, style)(c.state),
      c.engine === undefined ? '-' : `${c.engine} ${c.version ?? ''}`.trim(),
      c.mode ?? '-',
      c.shards === undefined ? '-' : String(c.shards),
      c.running < c.containers ? style.bad(containers) : containers,
      ...(wide ? [String(c.replicasPerShard ?? '-'), String(c.generation ?? '-')] : []),
    ];
  });
  return renderTable(headings, rows, style);
}

export const operationPaint = (state: OperationState, style: Style) =>
  ({ running: style.accent, done: style.good, failed: style.bad, cancelled: style.warn, terminated: style.bad, 'timed out': style.bad })[
    state
  ];

export function renderOperations(operations: readonly OperationSummary[], wide: boolean, style: Style): string {
  if (operations.length === 0) return 'There are no such operations.';
  const headings = ['STARTED', 'OPERATION', 'CLUSTER', 'STATE', 'TOOK', 'ID', ...(wide ? ['RUN'] : [])];
  const rows = operations.map((o) => [
    formatTime(o.startedAt),
    o.dryRun ? `${o.operation} (plan)` : o.operation,
    o.cluster ?? '-',
    operationPaint(o.state, style)(o.paused === true ? 'paused' : o.state),
    o.tookMs === undefined ? '-' : formatDuration(o.tookMs),
    o.workflowId,
    ...(wide ? [o.runId] : []),
  ]);
  return renderTable(headings, rows, style);
}
