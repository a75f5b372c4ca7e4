import { createLogUpdate } from 'log-update';
import type { OperationResult, Progress } from '../../config/progress.ts';
import type { OperationHandle } from '../client/index.ts';
import { exitCodes } from './exit-codes.ts';
import { CliError } from './explain-error.ts';
import type { Session } from './session.ts';
import { progressLines, renderProgress, renderSpinner } from './view/progress-view.ts';
import { renderComeBack } from './view/started-view.ts';

const FRAME_MS = 100;
/** Rows that the view needs besides the steps. */
const OTHER_ROWS = 6;

/** Shows the progress of an operation as it changes. */
interface ProgressSink {
  show(progress: Progress): void;
  silent(error: Error): void;
  /** Leaves the last picture standing. */
  end(): void;
}

/** A list of steps that is drawn again and again in its place. */
function liveSink(session: Session, workflowId: string): ProgressSink {
  const screen = createLogUpdate(process.stderr);
  let last: Progress | undefined;
  let silent: string | undefined;
  let tick = 0;
  const draw = (moving: boolean) => {
    if (last === undefined) {
      if (moving) screen(`  ${renderSpinner(tick, session.terminal.noteStyle)} ${silent ?? 'asking how far it is'}`);
      else screen.clear();
      return;
    }
    const rows = Math.max(5, (process.stderr.rows ?? 24) - OTHER_ROWS);
    const frame = {
      progress: last,
      workflowId,
      now: Date.now(),
      rows,
      columns: process.stderr.columns ?? 80,
      ...(silent === undefined ? {} : { silent }),
      ...(moving ? { tick } : {}),
    };
    screen(renderProgress(frame, session.terminal.noteStyle));
  };
  const timer = setInterval(() => {
    tick++;
    draw(true);
  }, FRAME_MS);
  return {
    show(progress) {
      last = progress;
      silent = undefined;
      draw(true);
    },
    silent(error) {
      silent = error.message;
    },
    end() {
      clearInterval(timer);
      silent = undefined;
      draw(false);
      screen.done();
    },
  };
}

/** A line for each change, with the seconds since the start; for logs and pipes. */
function lineSink(session: Session): ProgressSink {
  const start = Date.now();
  let last: Progress | undefined;
  const say = (text: string) => session.terminal.note(`[${((Date.now() - start) / 1000).toFixed(1).padStart(6)}s] ${text}`);
  return {
    show(progress) {
      for (const line of progressLines(last, progress)) say(line);
      last = progress;
    },
    silent: (error) => say(`${error.message} The operation goes on as soon as somebody answers.`),
    end: () => undefined,
  };
}

/**
 * Follows an operation to its end. Ctrl-C lets go of it: the operation goes on, and the message says how to come back.
 * @throws OperationFailed, or CliError with the exit code for an interrupt
 */
export async function followOperation(session: Session, handle: OperationHandle): Promise<OperationResult> {
  const { workflowId } = handle;
  const sink = session.terminal.live ? liveSink(session, workflowId) : lineSink(session);
  let letGo: () => void = () => undefined;
  const interrupted = new Promise<'interrupted'>((resolve) => {
    letGo = () => resolve('interrupted');
  });
  // Not `once`: the library that restores the cursor ends the process on a signal for which nobody else listens.
  process.on('SIGINT', letGo);
  const changes = handle.watch({ onSilent: (error) => sink.silent(error) });
  let ended = false;
  try {
    for (;;) {
      const next = await Promise.race([changes.next(), interrupted]);
      if (next === 'interrupted') throw new CliError(detachMessage(workflowId), exitCodes.interrupted);
      if (next.done === true) break;
      sink.show(next.value);
    }
    ended = true;
    const result = await Promise.race([handle.result(), interrupted]);
    if (result === 'interrupted') throw new CliError(detachMessage(workflowId), exitCodes.interrupted);
    return result;
  } finally {
    sink.end();
    process.off('SIGINT', letGo);
    if (!ended) changes.return().catch(() => undefined); // it stops after the question it waits for; nobody waits for that
  }
}

const detachMessage = (workflowId: string) => `Detached. The operation goes on without this terminal.\n${renderComeBack(workflowId)}`;
