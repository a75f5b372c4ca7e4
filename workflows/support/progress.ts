import { setCurrentDetails } from '@temporalio/workflow';
import type { MoveProgress } from '../../config/migration.ts';
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
  /** How far the move of slots is that runs now. */
  move(move: MoveProgress): void;
  sayHowFar(text: string): void;
  soFar(): string | undefined;
}

export function createProgressBoard(operation: OperationName, cluster: string): ProgressBoard {
  let progress: Progress = { operation, cluster, stage: 'validate', paused: false, steps: [], warnings: [] };
  let howFar: string | undefined;
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
    move: (move) => {
      const running = progress.steps.find((step) => step.state === 'running');
      if (running === undefined || typeof move?.slots !== 'number') return; // told late, or by somebody else
      const after: StepProgress = { ...running, done: move.slots, total: move.slotsTotal, unit: 'slots', move };
      change({ steps: progress.steps.map((step) => (step === running ? after : step)) });
    },
    sayHowFar: (text) => {
      howFar = text;
    },
    soFar: () => howFar,
    step: (name, state, note) => {
      const before = progress.steps.find((step) => step.name === name);
      const after = advance(before ?? { name, state: 'waiting' }, state, note);
      change({ steps: before === undefined ? [...progress.steps, after] : progress.steps.map((step) => (step === before ? after : step)) });
    },
  };
}

function advance({ move, ...step }: StepProgress, state: StepState, note: string | undefined): StepProgress {
  const now = Date.now(); // the workflow's clock: the same in every replay
  const startedAt = state === 'running' ? new Date(now).toISOString() : step.startedAt;
  const ended = (state === 'done' || state === 'failed') && startedAt !== undefined;
  return {
    ...step,
    state,
    // What was told last of a move is not its end: that stands in the note, and in the operation's result.
    ...(state === 'done' && step.total !== undefined ? { done: step.total } : {}),
    ...(state === 'done' || move === undefined ? {} : { move }),
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
    const what = step.state === 'running' && step.move !== undefined ? renderMove(step.move) : (step.note ?? changes.get(step.name) ?? '');
    return `| ${MARKS[step.state]} | ${cell(step.name)} | ${cell(shorten(what))} | ${took} |`;
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

/** A list of slots may be long; all of it is in the plan. */
const MOST = 400;
const shorten = (text: string): string => (text.length > MOST ? `${text.slice(0, MOST)} ...` : text);

function renderMove(move: MoveProgress): string {
  const { slots, slotsTotal, keys, keysTotal, bytes, bytesTotal, keysPerSecond, secondsLeft, latency, state, why, strategy, pairs } = move;
  const mib = (size: number) => (size / 1024 ** 2).toFixed(size < 10 * 1024 ** 2 ? 1 : 0);
  const left = secondsLeft === undefined ? '' : `, about ${secondsLeft} s left`;
  return [
    `${state === 'moving' ? '' : `**${state}**: ${why ?? ''}\n`}${slots} of ${slotsTotal} slots (${strategy}), ${keys} of about ${keysTotal} keys, ${mib(bytes)} of ${mib(bytesTotal)} MiB`,
    `${keysPerSecond} keys/s${left}; p99 of the probe ${latency.p99} ms`,
    ...pairs.slice(0, 8).map((pair) => `shard ${pair.from} to ${pair.to}: ${pair.slots}/${pair.slotsTotal} slots, ${pair.keys} keys`),
    ...(pairs.length > 8 ? [`and ${pairs.length - 8} more pairs`] : []),
  ].join('\n');
}
