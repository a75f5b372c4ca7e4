import { createLogUpdate } from 'log-update';
import type { Terminal } from './terminal.ts';
import { renderSpinner } from './view/progress-view.ts';

/** Answers that come sooner need no sign that something happens. */
const PATIENCE_MS = 700;
const FRAME_MS = 100;

/** Waits for an answer; on a terminal, one that takes its time is waited for with a spinner, which leaves nothing behind. */
export async function waiting<T>(terminal: Terminal, what: string, answer: Promise<T>): Promise<T> {
  if (!terminal.live) return answer;
  const start = Date.now();
  const screen = createLogUpdate(process.stderr);
  const timer = setInterval(() => {
    const elapsed = Date.now() - start;
    if (elapsed > PATIENCE_MS)
      screen(`${renderSpinner(Math.floor(elapsed / FRAME_MS), terminal.noteStyle)} ${terminal.noteStyle.dim(what)}`);
  }, FRAME_MS);
  try {
    return await answer;
  } finally {
    clearInterval(timer);
    screen.clear();
    screen.done(); // brings the cursor back
  }
}
