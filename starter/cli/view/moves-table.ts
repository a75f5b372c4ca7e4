import type { PlannedMove } from '../../../config/migration.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatBytes, formatCount, formatEstimate, plural, shorten } from './units.ts';

/** Rows that are shown unless all are asked for. */
const ROWS = 16;
/** Characters of slot ranges in a row. */
const RANGES = 48;

const figures = ({ slots, keys, bytes }: Pick<PlannedMove, 'slots' | 'keys' | 'bytes'>) => [
  formatCount(slots),
  formatCount(keys),
  formatBytes(bytes),
];

/**
 * Which shard gives how much to which. The last row is the sum of all; pairs move side by side, so that its time is the most that it can be. Wide
 * shows every row, with the slots themselves.
 */
export function renderMoves(moves: readonly PlannedMove[], wide: boolean, style: Style): string {
  const headings = ['FROM', 'TO', 'SLOTS', 'KEYS', 'BYTES', 'ESTIMATE', ...(wide ? ['RANGES'] : [])];
  const shown = wide || moves.length <= ROWS ? moves : moves.slice(0, ROWS - 1);
  const rows = shown.map((move) => [
    `shard ${move.from}`,
    `shard ${move.to}`,
    ...figures(move),
    formatEstimate(move.estimatedMs),
    ...(wide ? [shorten(move.ranges, RANGES)] : []),
  ]);
  const rest = moves.length - shown.length;
  if (rest > 0) rows.push(['…', `${rest} more`, '', '', '', '-o wide shows them'].map(style.dim));
  const sum = (field: 'slots' | 'keys' | 'bytes' | 'estimatedMs') => moves.reduce((total, move) => total + move[field], 0);
  const total = { slots: sum('slots'), keys: sum('keys'), bytes: sum('bytes') };
  rows.push(
    [
      'total',
      plural(moves.length, 'pair'),
      ...figures(total),
      `${moves.length > 1 ? 'up to ' : ''}${formatEstimate(sum('estimatedMs'))}`,
    ].map(style.strong),
  );
  return renderTable(headings, rows, style);
}
