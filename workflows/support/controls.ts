import { condition, defineQuery, defineSignal, defineUpdate, setHandler } from '@temporalio/workflow';
import { failures } from '../../config/failures.ts';
import { type MoveLimits, type MoveLimitsChange, type MoveProgress, moveLimits, moveLimitsChange } from '../../config/migration.ts';
import { type Decision, operationHandlers, type Progress } from '../../config/progress.ts';
import { fail, reasonOf } from './failure.ts';
import { readInput } from './input.ts';
import type { ProgressBoard } from './progress.ts';

/** What people can do to a running operation. */
export interface Controls {
  /** Returns at once, or when a pause ends. */
  boundary(): Promise<void>;
  /** Undefined when nothing moves any more. */
  setLimits(limits: MoveLimits | undefined): void;
  /** Those of now. */
  limits(): MoveLimits;
  /** Resolves when a person pauses the operation or changes its limits, or when `over` says that nobody waits any more. */
  steered(over: () => boolean): Promise<void>;
  /** @throws Rejected when somebody rejects, or nobody answers in time. */
  approval(timeoutSeconds: number): Promise<Decision>;
}

/** Sets the handlers: each control is an update, for programs, and a signal of the same name, for people in the Temporal UI. */
export function createControls(board: ProgressBoard): Controls {
  let paused = false;
  let waitsForApproval = false;
  let decision: { readonly approved: boolean; readonly by: Decision } | undefined;

  let limits: MoveLimits | undefined;
  let steering = 0;

  setHandler(defineQuery<Progress>(operationHandlers.progress), board.now);
  setHandler(defineSignal<[MoveProgress]>(operationHandlers.moved), board.move);

  // Synchronous, as every validator.
  const readChange = (raw: unknown): MoveLimitsChange => {
    if (limits === undefined) throw fail(failures.invalidInput, 'this operation moves no slots now, so it has no limits to change');
    return readInput(moveLimitsChange, raw, 'limits');
  };
  const changeLimits = (raw: unknown): void => {
    limits = moveLimits.parse({ ...limits, ...readChange(raw) });
    steering++;
  };
  setHandler(defineUpdate<void, [unknown]>(operationHandlers.limits), changeLimits, { validator: (raw) => void readChange(raw) });
  // By hand in the Temporal UI it may be anything: a signal that is wrong is told and changes nothing.
  setHandler(defineSignal<[unknown]>(operationHandlers.limits), (raw) => {
    try {
      changeLimits(raw);
    } catch (error) {
      board.warn(reasonOf(error));
    }
  });

  const pause = (value: boolean) => () => {
    paused = value;
    steering++;
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
    setLimits: (first) => {
      limits = first;
    },
    limits: () => limits ?? moveLimits.parse({}),
    steered: (over) => {
      const before = steering;
      return condition(() => over() || steering !== before);
    },
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
