import type { RecoverySummary } from '../../client/recovery-summaries.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatDuration } from './units.ts';

/** An archive that goes on is some seconds behind; clocks may differ. */
const LATE_MS = 15 * 60_000;

/** Where every cluster can be brought back to, a line each. */
export function renderRecoverySummaries(all: readonly RecoverySummary[], nowMs: number, style: Style): string {
  if (all.length === 0) return 'There are no clusters, and nothing of one that could be brought back.\n  next: holdfast apply -f spec.yaml';
  const rows = all.map(({ cluster, gone, earliest, latest, gaps, amiss }) => {
    const lateMs = nowMs - Date.parse(latest ?? '');
    const late = !gone && amiss.length === 0 && lateMs > LATE_MS ? [`nothing of the last ${formatDuration(lateMs)}`] : [];
    const words = [...amiss, ...late].map((why) => style.warn(why));
    return [
      cluster,
      earliest ?? '-',
      latest ?? '-',
      earliest === undefined ? '-' : gaps.length === 0 ? '0' : style.warn(String(gaps.length)),
      [...(gone ? [style.dim('the cluster is gone')] : []), ...words].join('; ') || '-',
    ];
  });
  return renderTable(['CLUSTER', 'EARLIEST', 'LATEST', 'GAPS', 'AMISS'], rows, style);
}
