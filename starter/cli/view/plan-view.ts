import type { Plan } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { plural } from './units.ts';

/** What is going to happen: every step, what it changes, what it costs; wide also says how each is undone. */
export function renderPlan(plan: Plan, wide: boolean, style: Style): string {
  const lines = [style.strong(plan.summary)];
  const width = Math.max(0, ...plan.steps.map((step) => step.name.length));
  const indent = ' '.repeat(width + 8);
  plan.steps.forEach(({ name, change, cost, undo }, index) => {
    lines.push(`  ${style.dim(`${index + 1}.`.padStart(3))} ${style.strong(name.padEnd(width))}  ${change}`);
    if (cost !== undefined) lines.push(`${indent}${style.warn('costs')} ${cost}`);
    if (wide) lines.push(style.dim(`${indent}${undo === undefined ? 'cannot be undone, or needs no undoing' : `undo: ${undo}`}`));
  });
  if (!wide && plan.steps.some((step) => step.undo !== undefined))
    lines.push(style.dim('  If a step fails, what was done before it is undone.'));
  if (plan.refusals.length > 0) {
    lines.push('', style.bad(`This cannot be done, for ${plural(plan.refusals.length, 'reason')}:`));
    lines.push(...plan.refusals.map((refusal) => `  ${style.bad('✖')} ${refusal}`));
  }
  return lines.join('\n');
}
