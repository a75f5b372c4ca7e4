import type { LoadedDataConverter, Payload } from '@temporalio/common';
import type { MoveHeartbeat, MoveProgress } from '../../config/migration.ts';
import type { Progress } from '../../config/progress.ts';
import { msOf, type Timestamp } from '../../config/timestamps.ts';

/** The activity type that moves slots. */
const MOVE_ACTIVITY = 'moveSlots';

/** What Temporal's DescribeWorkflowExecution tells of an activity that has not ended. */
interface PendingActivity {
  readonly activityType?: { readonly name?: string | null } | null;
  readonly lastHeartbeatTime?: Timestamp | null;
  readonly heartbeatDetails?: { readonly payloads?: readonly Payload[] | null } | null;
}

/** Whether somewhere slots may be moving, so that a look at the heartbeats is worth a call. */
export const mayMoveSlots = ({ stage, plan, steps }: Progress): boolean =>
  (stage === 'act' || stage === 'undo') && (plan?.moves?.length ?? 0) > 0 && steps.some((step) => step.state === 'running');

/**
 * How far the running move of slots is, as its newest heartbeat says. The workflow itself is told seldom, for each telling stays in its history for
 * ever; heartbeats do not.
 * @returns undefined when nothing moves slots now, or its attempt has not told anything yet
 */
export async function newestMove(
  pending: readonly PendingActivity[] | null | undefined,
  { payloadCodecs, payloadConverter }: Pick<LoadedDataConverter, 'payloadCodecs' | 'payloadConverter'>,
): Promise<MoveProgress | undefined> {
  const beats = (pending ?? []).flatMap(({ activityType, lastHeartbeatTime, heartbeatDetails }) => {
    const payload = activityType?.name === MOVE_ACTIVITY ? heartbeatDetails?.payloads?.[0] : undefined;
    return payload === undefined ? [] : [{ payload, at: msOf(lastHeartbeatTime) }];
  });
  const newest = beats.sort((a, b) => b.at - a.at)[0];
  if (newest === undefined) return undefined;
  let payloads = [newest.payload];
  for (const codec of payloadCodecs.toReversed()) payloads = await codec.decode(payloads);
  const [payload] = payloads;
  // The wrapper of every activity beats before the activity has anything to tell.
  const beat = payload === undefined ? undefined : payloadConverter.fromPayload<Partial<MoveHeartbeat> | null | undefined>(payload);
  return beat?.progress;
}

/** The progress with what a heartbeat says in the step that runs. */
export function withMove(progress: Progress, move: MoveProgress): Progress {
  const at = runningAt(progress);
  const steps = progress.steps.map((step, index) =>
    index === at ? { ...step, move, done: move.slots, total: move.slotsTotal, unit: 'slots' } : step,
  );
  return { ...progress, steps };
}

const runningAt = ({ steps }: Progress) => steps.findLastIndex((step) => step.state === 'running');

/**
 * Remembers what heartbeats said last: between two activities of one move, as after a pause or a change of limits, nothing beats, and what the
 * workflow was told is older.
 */
export function createMoveMemory(): (progress: Progress, beat: MoveProgress | undefined) => Progress {
  let last: { readonly step: string; readonly move: MoveProgress } | undefined;
  return (progress, beat) => {
    const running = progress.steps[runningAt(progress)];
    if (running === undefined) return progress;
    if (beat !== undefined) {
      last = { step: running.name, move: beat };
      return withMove(progress, beat);
    }
    const remembered = last?.step === running.name ? last.move : undefined;
    // Whichever is further is the newer one.
    const move = remembered !== undefined && remembered.slots >= (running.move?.slots ?? 0) ? remembered : running.move;
    if (move === undefined) return progress;
    const { secondsLeft: _, ...standing } = move;
    return withMove(progress, progress.paused ? { ...standing, state: 'held', why: 'paused', keysPerSecond: 0 } : move);
  };
}
