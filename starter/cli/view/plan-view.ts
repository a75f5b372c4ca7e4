import type { Plan } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { renderMoves } from './moves-table.ts';
import { renderRotation } from './rotation-view.ts';
import { plural, shorten, wrap } from './units.ts';

/** Characters of what a step changes. A plan that moves slots names each of them; most people want to know how many. */
const MOST = { narrow: 200, wide: 1000 };
const slotLists = / \(\d[\d,-]*\)/g;

function changeText({ moves = [], backups }: Plan, change: string, wide: boolean): string {
  if (backups !== undefined) return shorten(change, wide ? MOST.wide : MOST.narrow); // each of them is in the table
  if (moves.length === 0) return change;
  return shorten(wide ? change : change.replace(slotLists, ''), wide ? MOST.wide : MOST.narrow);
}

/** Narrower than this no column is made: the terminal parts the lines itself. */
const NARROWEST = 24;
/** What stands before a cost, and before a refusal. */
const [COSTS, REFUSED] = ['costs ', '  ✖ '];

/**
 * What is going to happen: every step, what it changes, what it costs, and the slots that move; wide also says how each step is undone.
 * @param columns of the screen
 */
export function renderPlan(plan: Plan, wide: boolean, style: Style, columns = Number.POSITIVE_INFINITY): string {
  const lines = [style.strong(plan.summary)];
  const width = Math.max(0, ...plan.steps.map((step) => step.name.length));
  const indent = ' '.repeat(width + 8);
  const below = (text: string, from: number): string => {
    const room = columns - from;
    return room < NARROWEST ? text : wrap(text, room).join(`\n${' '.repeat(from)}`);
  };
  plan.steps.forEach(({ name, change, cost, undo }, index) => {
    lines.push(
      `  ${style.dim(`${index + 1}.`.padStart(3))} ${style.strong(name.padEnd(width))}  ${below(changeText(plan, change, wide), indent.length)}`,
    );
    if (cost !== undefined) lines.push(`${indent}${style.warn('costs')} ${below(cost, indent.length + COSTS.length)}`);
    if (wide) lines.push(style.dim(`${indent}${undo === undefined ? 'cannot be undone, or needs no undoing' : `undo: ${undo}`}`));
  });
  if (!wide && plan.steps.some((step) => step.undo !== undefined))
    lines.push(style.dim('  If a step fails, what was done before it is undone.'));
  if (plan.moves !== undefined && plan.moves.length > 0) lines.push('', renderMoves(plan.moves, wide, style).replace(/^/gm, '  '));
  if (plan.backups !== undefined && plan.backups.length > 0) lines.push('', renderRotation(plan.backups, wide, style).replace(/^/gm, '  '));
  if (plan.refusals.length > 0) {
    lines.push('', style.bad(`This cannot be done, for ${plural(plan.refusals.length, 'reason')}:`));
    lines.push(...plan.refusals.map((refusal) => `  ${style.bad('✖')} ${below(refusal, REFUSED.length)}`));
  }
  return lines.join('\n');
}
