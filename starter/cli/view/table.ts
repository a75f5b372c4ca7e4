import Table from 'cli-table3';
import type { Style } from '../terminal.ts';

const none = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
};
const borderless = { ...none, left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' };

/** Columns under headings, without lines, so that `awk` and `grep` work on it. */
export function renderTable(headings: readonly string[], rows: readonly (readonly string[])[], style: Style): string {
  const table = new Table({ chars: borderless, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true } });
  table.push(
    headings.map((heading) => style.dim(heading)),
    ...rows.map((row) => [...row]),
  );
  return trimLines(table.toString());
}

const trimLines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
