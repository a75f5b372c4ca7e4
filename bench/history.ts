import type { Client } from '@temporalio/client';

const ms = (time: { seconds?: unknown; nanos?: number | null } | null | undefined): number =>
  Number(time?.seconds ?? 0) * 1000 + (time?.nanos ?? 0) / 1e6;

/** What a workflow's history says of its time: in all, and while none of its activities ran. Both in ms. */
export async function overheadOf(
  client: Client,
  workflowId: string,
): Promise<{ readonly totalMs: number; readonly idleMs: number; readonly events: number }> {
  const { events } = await client.workflow.getHandle(workflowId).fetchHistory();
  const list = events ?? [];
  const started = new Map<string, number>();
  const spans: (readonly [number, number])[] = [];
  for (const event of list) {
    if (event.activityTaskStartedEventAttributes) started.set(String(event.eventId), ms(event.eventTime));
    const completed = event.activityTaskCompletedEventAttributes;
    if (completed) spans.push([started.get(String(completed.startedEventId)) ?? 0, ms(event.eventTime)]);
  }
  const totalMs = ms(list.at(-1)?.eventTime) - ms(list[0]?.eventTime);
  let busy = 0;
  let end = 0;
  for (const [from, to] of spans.toSorted((a, b) => a[0] - b[0])) {
    busy += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return { totalMs, idleMs: totalMs - busy, events: list.length };
}
