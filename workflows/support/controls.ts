import { condition, defineQuery, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow';
import { failures } from '../../config/failures.ts';
import { type Decision, operationHandlers, type Progress } from '../../config/progress.ts';
import { fail } from './failure.ts';
import type { ProgressBoard } from './progress.ts';

/** What people can do to a running operation. */
export interface Controls {
  /** Returns at once, or when a pause ends. */
  boundary(): Promise<void>;
  /** @throws Rejected when somebody rejects, or nobody answers in time. */
  approval(timeoutSeconds: number): Promise<Decision>;
}

/** Sets the handlers: each control is an update, for programs, and a signal of the same name, for people in the Temporal UI. */
export function createControls(board: ProgressBoard): Controls {
  let paused = false;
  let waitsForApproval = false;
  let decision: { readonly approved: boolean; readonly by: Decision } | undefined;

  setHandler(defineQuery<Progress>(operationHandlers.progress), board.now);

  const pause = (value: boolean) => () => {
    paused = value;
    board.paused(value);
  };
  for (const [name, set] of [[operationHandlers.pause, pause(true)] as const, [operationHandlers.resume, pause(false)] as const]) {
    setHandler(defineSignal(name), set);
    setHandler(defineUpdate<void>(name), set);
  }

  const decide = (approved: boolean) => (by: Decision) => {
    if (waitsForApproval)
      decision ??= { approved, by: { by: by?.by ?? 'somebody, by signal', ...(by?.reason === undefined ? {} : { reason: by.reason }) } };
  };
  // Synchronous: an asynchronous validator validates nothing.
  const validator = (by: Decision) => {
    if (!waitsForApproval) throw fail(failures.invalidInput, 'this operation does not wait for an approval now');
    if (typeof by?.by !== 'string' || by.by === '') throw fail(failures.invalidInput, 'say who decides: {"by": "your name"}');
  };
  for (const [name, handle] of [[operationHandlers.approve, decide(true)] as const, [operationHandlers.reject, decide(false)] as const]) {
    setHandler(defineSignal<[Decision]>(name), handle);
    setHandler(defineUpdate<void, [Decision]>(name), handle, { validator });
  }

  return {
    boundary: () => condition(() => !paused),
    async approval(timeoutSeconds) {
      waitsForApproval = true;
      board.stage('approval');
      board.approval(new Date(Date.now() + timeoutSeconds * 1000).toISOString());
      await condition(() => decision !== undefined, timeoutSeconds * 1000);
      waitsForApproval = false;
      board.approval(undefined);
      if (decision === undefined) throw fail(failures.rejected, `nobody approved within ${timeoutSeconds} s; nothing was changed`);
      const { approved, by } = decision;
      if (!approved)
        throw fail(failures.rejected, `${by.by} rejected it${by.reason === undefined ? '' : `: ${by.reason}`}; nothing was changed`);
      return by;
    },
  };
}
