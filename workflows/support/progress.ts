import { setCurrentDetails } from '@temporalio/workflow';
import type { OperationName } from '../../config/operations.ts';
import type { Plan, Progress, Stage, StepProgress, StepState } from '../../config/progress.ts';

/** How far an operation is: what the query `progress` answers and what the Temporal UI shows as current details. */
export interface ProgressBoard {
  readonly now: () => Progress;
  stage(stage: Stage): void;
  plan(plan: Plan): void;
  paused(paused: boolean): void;
  approval(until: string | undefined): void;
  approved(by: string): void;
  warn(warning: string): void;
  /** Changes a step, or adds it when the plan did not name it. */
  step(name: string, state: StepState, note?: string): void;
}

export function createProgressBoard(operation: OperationName, cluster: string): ProgressBoard {
  let progress: Progress = { operation, cluster, stage: 'validate', paused: false, steps: [], warnings: [] };
  const change = (part: Partial<Progress>) => {
    progress = { ...progress, ...part };
    setCurrentDetails(renderDetails(progress));
  };

  return {
    now: () => progress,
    stage: (stage) => change({ stage }),
    plan: (plan) => change({ plan, steps: plan.steps.map(({ name }) => ({ name, state: 'waiting' as const })) }),
    paused: (paused) => change({ paused }),
    approval: (until) => {
      const { approval: _, ...rest } = progress;
      progress = until === undefined ? rest : { ...rest, approval: { until } };
      change({});
    },
    approved: (approvedBy) => change({ approvedBy }),
    warn: (warning) => change({ warnings: [...progress.warnings, warning] }),
    step: (name, state, note) => {
      const before = progress.steps.find((step) => step.name === name);
      const after = advance(before ?? { name, state: 'waiting' }, state, note);
      change({ steps: before === undefined ? [...progress.steps, after] : progress.steps.map((step) => (step === before ? after : step)) });
    },
  };
}

function advance(step: StepProgress, state: StepState, note: string | undefined): StepProgress {
  const now = Date.now(); // the workflow's clock: the same in every replay
  const startedAt = state === 'running' ? new Date(now).toISOString() : step.startedAt;
  const ended = (state === 'done' || state === 'failed') && startedAt !== undefined;
  return {
    ...step,
    state,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(ended ? { tookMs: now - Date.parse(startedAt) } : {}),
    ...(note === undefined ? {} : { note }),
  };
}

const MARKS: Readonly<Record<StepState, string>> = {
  waiting: '⬜',
  running: '⏳',
  done: '✅',
  failed: '❌',
  undone: '↩️',
  'undo failed': '⚠️',
};

/** Markdown for the Temporal UI. */
function renderDetails({ operation, cluster, stage, paused, plan, steps, approval, approvedBy, warnings }: Progress): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', '<br>');
  const changes = new Map(plan?.steps.map((step) => [step.name, step.change]));
  const rows = steps.map((step) => {
    const took = step.tookMs === undefined ? '' : `${(step.tookMs / 1000).toFixed(1)} s`;
    return `| ${MARKS[step.state]} | ${cell(step.name)} | ${cell(step.note ?? changes.get(step.name) ?? '')} | ${took} |`;
  });
  return [
    `**${operation} ${cluster}**: ${paused ? 'paused at a step boundary; send the signal `resume`' : stage}`,
    ...(approval === undefined
      ? []
      : [`Waits for approval until ${approval.until}: send the signal \`approve\` or \`reject\` with \`{"by": "your name"}\`.`]),
    ...(approvedBy === undefined ? [] : [`Approved by ${approvedBy}`]),
    ...(plan === undefined ? [] : [plan.summary]),
    ...(plan === undefined || plan.refusals.length === 0 ? [] : [`Refused:\n${plan.refusals.map((reason) => `- ${reason}`).join('\n')}`]),
    ...(rows.length === 0 ? [] : [['| | step | what | took |', '|---|---|---|---|', ...rows].join('\n')]),
    ...warnings.map((warning) => `⚠️ ${warning}`),
  ].join('\n\n');
}
