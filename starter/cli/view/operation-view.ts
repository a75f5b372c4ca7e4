import type { OperationResult, Progress } from '../../../config/progress.ts';
import type { OperationSummary } from '../../client/operation-list.ts';
import type { Style } from '../terminal.ts';
import { operationPaint } from './lists-view.ts';
import { renderPlan } from './plan-view.ts';
import { renderProgress, renderStep } from './progress-view.ts';
import { renderResult } from './result-view.ts';
import { formatDuration, formatTime } from './units.ts';

export interface OperationDetails extends OperationSummary {
  readonly uiLink: string;
  /** Missing when no worker answers. */
  readonly progress?: Progress;
  readonly result?: OperationResult;
  readonly failure?: { readonly type: string; readonly message: string; readonly details: readonly unknown[] };
}

const nextAfter: Readonly<Record<string, (o: OperationDetails) => string>> = {
  running: (o) => `holdfast operations show ${o.workflowId} --watch`,
  done: (o) => (o.operation === 'deprovision' ? 'holdfast list' : `holdfast status ${o.cluster ?? ''}`.trim()),
};

/** One operation: what it is, how far it got, how it ended, what to do next. */
export function renderOperation(details: OperationDetails, wide: boolean, style: Style): string {
  const { operation, cluster, state, workflowId, startedAt, tookMs, progress, result, failure } = details;
  const took = tookMs === undefined ? '' : `, took ${formatDuration(tookMs)}`;
  const lines = [
    `${style.strong(`${operation} ${cluster ?? ''}`.trim())}  ${operationPaint(state, style)(state)}`,
    style.dim(`  ${workflowId}`),
    style.dim(`  started ${formatTime(startedAt)}${took}`),
    style.dim(`  ${details.uiLink}`),
    '',
  ];
  if (wide && progress?.plan !== undefined) lines.push(renderPlan(progress.plan, true, style), '');
  if (progress !== undefined && progress.steps.length > 0)
    lines.push(renderProgress({ progress, workflowId, now: Date.now(), rows: Number.POSITIVE_INFINITY }, style), '');
  else if (result !== undefined && result.steps.length > 0) {
    const width = Math.max(...result.steps.map((step) => step.name.length));
    lines.push(...result.steps.map((step) => renderStep(step, width, Date.now(), undefined, style)), '');
  } else if (state === 'running' && progress === undefined)
    lines.push(`${style.warn('!')} No worker answers, so its steps are not known. It goes on as soon as one does: holdfast worker`, '');
  if (result !== undefined) lines.push(renderResult(result, style));
  if (failure !== undefined) lines.push(`${style.bad(`✖ ${failure.type}`)}  ${failure.message}`);
  const next =
    result === undefined ? (nextAfter[state]?.(details) ?? (cluster === undefined ? undefined : `holdfast status ${cluster}`)) : undefined;
  if (next !== undefined) lines.push(`  next: ${next}`);
  return lines.join('\n');
}
