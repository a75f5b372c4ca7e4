import type { OperationResult } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { formatDuration, plural } from './units.ts';

/** How an operation ended, in a line, and where to look next. */
export function renderResult(result: OperationResult, style: Style): string {
  const { outcome, summary, cluster, operation, tookMs } = result;
  if (outcome === 'unchanged') return `${style.good('✔')} ${summary}: nothing to do\n  next: holdfast status ${cluster}`;
  if (outcome === 'planned')
    return `${style.accent('i')} ${summary} ${style.dim(`${plural(result.plan.steps.length, 'step')}, none of them done`)}`;
  const next = operation === 'deprovision' ? 'holdfast list' : `holdfast status ${cluster}`;
  return `${style.good('✔')} ${summary} ${style.dim(`(${formatDuration(tookMs)})`)}\n  next: ${next}`;
}
