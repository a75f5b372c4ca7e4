import type { Client } from '@temporalio/client';

/** A moment in an operation: just before the n-th execution of an activity runs, or after it has run and before it reports. */
export interface Point {
  readonly activity: string;
  /** Counts the executions of this activity that begin in one worker process, from 1. */
  readonly occurrence: number;
  readonly when: 'before' | 'after';
}

/** `ensureNode#2 after`. */
export const formatPoint = ({ activity, occurrence, when }: Point): string => `${activity}#${occurrence} ${when}`;

/** @throws Error when it is not what `formatPoint` writes. */
export function parsePoint(text: string): Point {
  const match = /^(\w+)#(\d+) (before|after)$/.exec(text);
  if (match?.[1] === undefined) throw new Error(`no point of an operation: ${text}`);
  return { activity: match[1], occurrence: Number(match[2]), when: match[3] === 'before' ? 'before' : 'after' };
}

/** Both sides of every activity that a run has scheduled, those of its lock and journal too, in their order. */
export async function pointsOf(client: Client, workflowId: string): Promise<readonly Point[]> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const counts = new Map<string, number>();
  return (events ?? []).flatMap(({ activityTaskScheduledEventAttributes: scheduled }): readonly Point[] => {
    const activity = scheduled?.activityType?.name;
    if (activity === undefined || activity === null) return [];
    const occurrence = (counts.get(activity) ?? 0) + 1;
    counts.set(activity, occurrence);
    return [
      { activity, occurrence, when: 'before' },
      { activity, occurrence, when: 'after' },
    ];
  });
}

/** What makes the meddling worker meddle; its environment. */
export interface Meddling {
  /** Kills its own process with SIGKILL there. */
  readonly crashAt?: Point;
  /** Holds the activity there until the gate is opened or the activity is cancelled. */
  readonly holdAt?: Point;
  /** The gate's file: `<gate>.held` appears when the activity is held, `<gate>.open` lets it go on. */
  readonly gate?: string;
  /** Behaves wrongly on purpose: each repeated start of a node leaves a volume behind. For the harness's own negative control. */
  readonly litters?: boolean;
  /** Hands slots over before their source is empty, which destroys keys. For the ledger's negative control. */
  readonly handsOverEarly?: boolean;
}

export const meddlingVariable = 'MEDDLING';
