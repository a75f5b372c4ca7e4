import type { Plan } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { plural } from './units.ts';

/** What is going to happen: every step, what it changes, what it costs, whether it can be undone. */
export function renderPlan(plan: Plan, style: Style): string {
  const lines = [style.strong(plan.summary)];
  plan.steps.forEach((step, index) => {
    lines.push(`  ${style.dim(`${index + 1}.`.padStart(3))} ${style.strong(step.name)}  ${step.change}`);
    if (step.cost !== undefined) lines.push(`        ${style.warn('costs')} ${step.cost}`);
    if (step.undo !== undefined) lines.push(style.dim(`        undo: ${step.undo}`));
  });
  if (plan.refusals.length > 0) {
    lines.push('', style.bad(`This cannot be done, for ${plural(plan.refusals.length, 'reason')}:`));
    lines.push(...plan.refusals.map((refusal) => `  ${style.bad('✖')} ${refusal}`));
  }
  return lines.join('\n');
}
