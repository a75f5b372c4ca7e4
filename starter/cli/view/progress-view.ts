import type { Progress, Stage, StepProgress } from '../../../config/progress.ts';
import type { Style } from '../terminal.ts';
import { moveLine, renderCells, renderMove } from './move-view.ts';
import { formatDuration, formatTime } from './units.ts';

const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** Rows that the steps keep when a move below one of them wants many. */
const LEAST_STEP_ROWS = 3;

export interface ProgressFrame {
  readonly progress: Progress;
  readonly workflowId: string;
  /** Milliseconds since 1970; only what runs is measured by it. */
  readonly now: number;
  /** Which picture of the spinner; undefined stands still. */
  readonly tick?: number;
  /** Rows that the list of steps may take, with what stands below a step that moves slots. */
  readonly rows: number;
  /** Default 80. */
  readonly columns?: number;
  /** Set while nobody answers. */
  readonly silent?: string;
}

export const stageWords: Readonly<Record<Stage, string>> = {
  validate: 'checking the input',
  lock: 'taking its turn',
  observe: 'looking at the cluster',
  plan: 'planning',
  approval: 'waiting for approval',
  act: 'working',
  verify: 'verifying',
  undo: 'undoing',
  ended: 'ended',
};

/** `███████░░░ 4/6 nodes` */
export function renderBar({ done, total, unit }: Pick<StepProgress, 'done' | 'total' | 'unit'>, style: Style): string {
  if (done === undefined || total === undefined || total <= 0) return '';
  return `${renderCells(done, total, style)} ${done}/${total}${unit === undefined ? '' : ` ${unit}`}`;
}

export const renderSpinner = (tick: number, style: Style) => style.accent(spinner[tick % spinner.length] ?? '▸');

function mark(step: StepProgress, tick: number | undefined, style: Style): string {
  switch (step.state) {
    case 'waiting':
      return style.dim('·');
    case 'running':
      return tick === undefined ? style.accent('▸') : renderSpinner(tick, style);
    case 'done':
      return style.good('✔');
    case 'failed':
      return style.bad('✖');
    case 'undone':
      return style.warn('↩');
    case 'undo failed':
      return style.bad('↩');
  }
}

function took(step: StepProgress, now: number): string {
  if (step.tookMs !== undefined) return formatDuration(step.tookMs);
  return step.state === 'running' && step.startedAt !== undefined ? formatDuration(now - Date.parse(step.startedAt)) : '';
}

export function renderStep(step: StepProgress, width: number, now: number, tick: number | undefined, style: Style): string {
  const name = step.name.padEnd(width);
  const text = step.state === 'waiting' ? style.dim(name) : name;
  // A move of slots has more to say than a bar, and says it below.
  const bar = step.move === undefined ? renderBar(step, style) : style.dim(step.move.strategy);
  const extra = step.state === 'running' ? bar : style.dim(step.note?.split('\n', 1)[0] ?? '');
  return `  ${mark(step, tick, style)} ${text}  ${took(step, now).padStart(7)}  ${extra}`.trimEnd();
}

/** So many steps as fit: what runs now stays in view, what is cut off is counted. */
export function stepsInView(
  steps: readonly StepProgress[],
  rows: number,
): { before: number; shown: readonly StepProgress[]; after: number } {
  if (steps.length <= rows) return { before: 0, shown: steps, after: 0 };
  const active = steps.findIndex((step) => step.state === 'running');
  const focus = active === -1 ? steps.findLastIndex((step) => step.state !== 'waiting') : active;
  const room = Math.max(1, rows - 2);
  const before = Math.max(0, Math.min(steps.length - room, focus - Math.floor(room / 2)));
  return { before, shown: steps.slice(before, before + room), after: steps.length - before - room };
}

/** One picture of a running operation. */
export function renderProgress({ progress, workflowId, now, tick, rows, columns = 80, silent }: ProgressFrame, style: Style): string {
  const { steps } = progress;
  const width = Math.min(44, Math.max(0, ...steps.map((step) => step.name.length)));
  const mover = steps.find((step) => step.state === 'running' && step.move !== undefined);
  const room = rows - Math.min(steps.length, LEAST_STEP_ROWS);
  const move = mover?.move === undefined ? [] : renderMove(mover.move, { columns, rows: room }, style);
  const { before, shown, after } = stepsInView(steps, Math.max(LEAST_STEP_ROWS, rows - move.length));
  const lines = shown.flatMap((step) => [renderStep(step, width, now, tick, style), ...(step === mover ? move : [])]);
  if (before > 0) lines.unshift(style.dim(`    … ${before} before`));
  if (after > 0) lines.push(style.dim(`    … ${after} more`));
  for (const warning of progress.warnings) lines.push(`  ${style.warn('!')} ${warning}`);

  const finished = steps.filter((step) => step.state === 'done').length;
  const count = steps.length === 0 ? '' : ` · step ${Math.min(finished + 1, steps.length)} of ${steps.length}`;
  if (progress.stage === 'ended') return lines.join('\n');
  lines.push(`  ${style.strong(progress.paused ? 'paused' : stageWords[progress.stage])}${style.dim(count)}`);
  if (progress.paused) lines.push(`  next: holdfast operations resume ${workflowId}`);
  if (progress.approval !== undefined && progress.stage === 'approval')
    lines.push(`  Somebody must decide until ${formatTime(progress.approval.until)}: holdfast operations approve ${workflowId}`);
  if (silent !== undefined) lines.push(`  ${style.warn('!')} ${silent}`);
  return lines.join('\n');
}

/** What changed from one picture to the next, a line each, for logs. */
export function progressLines(before: Progress | undefined, now: Progress): readonly string[] {
  const lines: string[] = [];
  const known = new Map(before?.steps.map((step) => [step.name, step]));
  for (const step of now.steps) {
    const earlier = known.get(step.name);
    const moved = step.state === 'running' && step.move !== undefined ? moveLine(earlier?.move, step.move) : undefined;
    if (earlier?.state === step.state || step.state === 'waiting') {
      if (moved !== undefined) lines.push(`${step.name}: ${moved}`);
      continue;
    }
    const time = step.tookMs === undefined ? '' : ` in ${formatDuration(step.tookMs)}`;
    const note = step.note === undefined || step.state === 'running' ? '' : `: ${step.note}`;
    lines.push(step.state === 'running' ? `${step.name} ...` : `${step.name} ${step.state}${time}${note}`);
    if (moved !== undefined) lines.push(`${step.name}: ${moved}`);
  }
  for (const warning of now.warnings.slice(before?.warnings.length ?? 0)) lines.push(`warning: ${warning}`);
  if (now.paused !== (before?.paused ?? false)) lines.push(now.paused ? 'paused' : 'goes on');
  const told: readonly Stage[] = ['lock', 'approval', 'verify', 'undo'];
  if (now.stage !== before?.stage && told.includes(now.stage)) lines.push(stageWords[now.stage]);
  return lines;
}
