import type { Client } from '@temporalio/client';

const ms = (time: { seconds?: unknown; nanos?: number | null } | null | undefined): number =>
  Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6;

/** When an activity ran, by the history: the attempt that counted. ms since 1970. */
export interface ActivitySpan {
  readonly type: string;
  readonly from: number;
  readonly to: number;
}

async function readHistory(client: Client, workflowId: string) {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const list = events ?? [];
  const types = new Map<string, string>();
  const started = new Map<string, { readonly type: string; readonly from: number }>();
  const spans: ActivitySpan[] = [];
  for (const event of list) {
    const scheduled = event.activityTaskScheduledEventAttributes;
    if (scheduled) types.set(String(event.eventId), scheduled.activityType?.name ?? '');
    const begun = event.activityTaskStartedEventAttributes;
    if (begun) started.set(String(event.eventId), { type: types.get(String(begun.scheduledEventId)) ?? '', from: ms(event.eventTime) });
    const completed = event.activityTaskCompletedEventAttributes;
    if (completed) spans.push({ type: '', from: 0, ...started.get(String(completed.startedEventId)), to: ms(event.eventTime) });
  }
  return { list, spans };
}

/** The activities of a workflow that completed. */
export const activitiesOf = async (client: Client, workflowId: string): Promise<readonly ActivitySpan[]> =>
  (await readHistory(client, workflowId)).spans;

/** What a workflow's history says of its time: in all, and while none of its activities ran. Both in ms. */
export async function overheadOf(
  client: Client,
  workflowId: string,
): Promise<{ readonly totalMs: number; readonly idleMs: number; readonly events: number }> {
  const { list, spans } = await readHistory(client, workflowId);
  const totalMs = ms(list.at(-1)?.eventTime) - ms(list[0]?.eventTime);
  let busy = 0;
  let end = 0;
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    busy += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return { totalMs, idleMs: totalMs - busy, events: list.length };
}
