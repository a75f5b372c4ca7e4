import type { RotationRow } from '../../../config/rotation.ts';
import type { Style } from '../terminal.ts';
import { renderTable } from './table.ts';
import { formatTime, shorten } from './units.ts';

/** `20261121T091700Z-0123abcd` began at 2026-11-21T09:17:00Z. */
const whenOf = (id: string): string => id.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z.*$/, '$1-$2-$3T$4:$5:$6Z');

function stateOf(proof: RotationRow['proof'], style: Style): string {
  if (proof === undefined) return style.warn('unverified');
  return proof === 'loaded' ? style.good('verified') : proof;
}

/** Every backup: whether it stays, and why. Those that stay for the first of several reasons show it; wide shows all. */
export function renderRotation(rows: readonly RotationRow[], wide: boolean, style: Style): string {
  const cells = rows.map(({ id, proof, stays, why }) => [
    id,
    formatTime(whenOf(id)),
    stateOf(proof, style),
    stays ? 'stays' : style.bad('goes'),
    wide ? why.join('; ') : shorten(why.join('; '), 100),
  ]);
  return renderTable(['ID', 'TAKEN', 'STATE', 'ROTATION', 'WHY'], cells, style);
}
