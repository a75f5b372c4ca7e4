import type { JournalEntry } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatDuration, formatTime, shorten } from './units.ts';

const outcomePaint = (outcome: JournalEntry['outcome'], style: Style) =>
  ({ done: style.good, unchanged: style.dim, failed: style.bad, cancelled: style.warn, rejected: style.warn })[outcome];

/** The journal of a cluster, newest first, since the newest is what one looks for. */
export function renderJournal(entries: readonly JournalEntry[], wide: boolean, style: Style): string {
  const headings = [
    'WHEN',
    'OPERATION',
    'OUTCOME',
    'TOOK',
    'BY',
    'SUMMARY',
    ...(wide ? ['GENERATION', 'REASON', 'APPROVED BY', 'ID'] : []),
  ];
  const rows = [...entries]
    .reverse()
    .map((entry) => [
      formatTime(entry.startedAt),
      entry.operation,
      outcomePaint(entry.outcome, style)(entry.outcome),
      formatDuration(Date.parse(entry.endedAt) - Date.parse(entry.startedAt)),
      entry.by,
      firstLine(entry.summary),
      ...(wide
        ? [entry.generation === undefined ? '-' : String(entry.generation), entry.reason ?? '-', entry.approvedBy ?? '-', entry.workflowId]
        : []),
    ]);
  return renderTable(headings, rows, style);
}

const firstLine = (text: string) => shorten(text.split('\n', 1)[0] ?? '', 80);
