import type { Plan } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { renderMoves } from './moves-table.ts';
import { renderRotation } from './rotation-view.ts';
import { plural, shorten } from './units.ts';

/** Characters of what a step changes. A plan that moves slots names each of them; most people want to know how many. */
const MOST = { narrow: 200, wide: 1000 };
const slotLists = / \(\d[\d,-]*\)/g;

function changeText({ moves = [], backups }: Plan, change: string, wide: boolean): string {
  if (backups !== undefined) return shorten(change, wide ? MOST.wide : MOST.narrow); // each of them is in the table
  if (moves.length === 0) return change;
  return shorten(wide ? change : change.replace(slotLists, ''), wide ? MOST.wide : MOST.narrow);
}

/** What is going to happen: every step, what it changes, what it costs, and the slots that move; wide also says how each step is undone. */
export function renderPlan(plan: Plan, wide: boolean, style: Style): string {
  const lines = [style.strong(plan.summary)];
  const width = Math.max(0, ...plan.steps.map((step) => step.name.length));
  const indent = ' '.repeat(width + 8);
  plan.steps.forEach(({ name, change, cost, undo }, index) => {
    lines.push(`  ${style.dim(`${index + 1}.`.padStart(3))} ${style.strong(name.padEnd(width))}  ${changeText(plan, change, wide)}`);
    if (cost !== undefined) lines.push(`${indent}${style.warn('costs')} ${cost}`);
    if (wide) lines.push(style.dim(`${indent}${undo === undefined ? 'cannot be undone, or needs no undoing' : `undo: ${undo}`}`));
  });
  if (!wide && plan.steps.some((step) => step.undo !== undefined))
    lines.push(style.dim('  If a step fails, what was done before it is undone.'));
  if (plan.moves !== undefined && plan.moves.length > 0) lines.push('', renderMoves(plan.moves, wide, style).replace(/^/gm, '  '));
  if (plan.backups !== undefined && plan.backups.length > 0) lines.push('', renderRotation(plan.backups, wide, style).replace(/^/gm, '  '));
  if (plan.refusals.length > 0) {
    lines.push('', style.bad(`This cannot be done, for ${plural(plan.refusals.length, 'reason')}:`));
    lines.push(...plan.refusals.map((refusal) => `  ${style.bad('✖')} ${refusal}`));
  }
  return lines.join('\n');
}
