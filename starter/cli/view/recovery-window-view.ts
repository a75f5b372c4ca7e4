import type { RecoveryWindow } from '../../../config/archive.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatBytes } from './units.ts';

/** As `--at` takes it: one of these is typed there. With its thousandths: between two of them may lie what somebody wants back. */
const moment = (iso: string | undefined): string => iso ?? '-';

/** Spans that are shown of a shard and of the cluster; the rest is in the JSON. */
const MOST_SPANS = 10;

/** Where a cluster can be brought back to. */
export function renderRecoveryWindow({ cluster, spans, shards }: RecoveryWindow, wide: boolean, style: Style): string {
  if (shards.length === 0)
    return `Nothing of ${cluster} is archived: only its backups can be restored.\n  next: set pitr.enabled in its spec and apply it; holdfast backup list ${cluster}`;
  const shown = wide ? spans : spans.slice(-MOST_SPANS);
  const whole =
    spans.length === 0
      ? style.warn('no moment yet to which every shard can be brought back')
      : shown.map(({ from, to }) => `${moment(from)}  to  ${moment(to)}`).join('\n  ');
  const earlier = spans.length > shown.length ? `\n  ${style.dim(`and ${spans.length - shown.length} earlier stretches: -o wide`)}` : '';
  const rows = shards.flatMap(({ shard, spans: own }) =>
    (own.length === 0 ? [undefined] : wide ? own : own.slice(-MOST_SPANS)).map((span, index) => [
      index === 0 ? String(shard) : '',
      moment(span?.from),
      moment(span?.to),
    ]),
  );
  const gaps = shards.flatMap(({ shard, gaps: own }) => own.map(({ from, to, why }) => [String(shard), moment(from), moment(to), why]));
  const dropped = shards.flatMap(({ shard, dropped: own }) =>
    own.map(
      ({ offset, bytes }) =>
        `shard ${shard}: a failover dropped ${formatBytes(bytes)} of writes after offset ${offset}; what is restored has none of them`,
    ),
  );
  return [
    `${style.strong(cluster)} can be brought back to every moment of\n  ${whole}${earlier}`,
    renderTable(['SHARD', 'FROM', 'TO'], rows, style),
    ...(gaps.length === 0 ? [] : [`${style.warn('gaps')}\n${renderTable(['SHARD', 'FROM', 'TO', 'WHY'], gaps, style)}`]),
    ...(dropped.length === 0 ? [] : [dropped.join('\n')]),
  ].join('\n\n');
}
