import { msOf, type Timestamp } from './timestamps.ts';

/** What Temporal's DescribeTaskQueue tells of one that polls. */
interface Poller {
  readonly lastAccessTime?: Timestamp | null;
}

/** A poll lasts a minute at most, so a worker that has not polled for longer is gone; the server goes on listing it for five. */
const POLLS_EVERY_MS = 70_000;

/** Those of a task queue's pollers that are alive at `now`, in ms since 1970 by Temporal's clock. */
export const livePollers = <P extends Poller>(pollers: readonly P[] | null | undefined, now: number): readonly P[] =>
  (pollers ?? []).filter(({ lastAccessTime }) => now - msOf(lastAccessTime) < POLLS_EVERY_MS);
