import { ActivityCancellationType, type ActivityOptions, proxyActivities } from '@temporalio/workflow';
import type { ArchiveActivities } from '../../activities/archive-activities.ts';
import type { ControlActivities, WaitingActivities } from '../../activities/control-activities.ts';
import type { DataActivities } from '../../activities/data-activities.ts';
import type { HostActivities } from '../../activities/host-activities.ts';
import { hostArchiveTaskQueue, hostDataTaskQueue, hostTaskQueue, WAITING_TASK_QUEUE } from '../../config/names.ts';

/**
 * Shared by every proxy. Activities beat once a second, so a dead worker is noticed after the heartbeat timeout; a cancelled activity is waited
 * for, so that nothing still works on the cluster while its steps are undone.
 */
const shared = {
  heartbeatTimeout: '8 seconds',
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} as const satisfies ActivityOptions;

/**
 * The engine may restart in the middle (about 20 s), a bucket may be away for a while: everything is idempotent, so it is tried for some three
 * minutes. What cannot be mended by trying again is non-retryable where it is thrown.
 */
const patient = { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '10 seconds', maximumAttempts: 20 } as const;

/** Before anything is changed: when an engine does not answer for ten seconds, a person had better know than wait. */
const soon = { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '5 seconds', maximumAttempts: 6 } as const;

/** Reads for a person who waits: three tries, then say what is wrong. */
const brief = { initialInterval: '300 milliseconds', maximumAttempts: 3 } as const;

/** Records, secrets, Temporal. Seconds of work each. */
export const control = proxyActivities<ControlActivities>({ ...shared, startToCloseTimeout: '1 minute', retry: patient });

/** Reads and removes what may be very many objects. */
export const rotates = proxyActivities<
  Pick<ControlActivities, 'planRotation' | 'removeBackups' | 'removeArchive' | 'removeOrphans' | 'missingBackups'>
>({ ...shared, startToCloseTimeout: '6 hours', retry: patient });

/** Waits for another operation to end; as long as that takes. */
export const waiting = proxyActivities<WaitingActivities>({
  ...shared,
  taskQueue: WAITING_TASK_QUEUE,
  startToCloseTimeout: '8 days',
  retry: patient,
});

/** As `waiting`, so long at most. */
export const waitsSome = (ms: number) =>
  proxyActivities<WaitingActivities>({ ...shared, taskQueue: WAITING_TASK_QUEUE, scheduleToCloseTimeout: ms, retry: patient });

/**
 * What runs next to a host's engine. A download of an image takes its time, and so does the loading of much data.
 * @param summary what the Temporal UI shows beside the activity, where its type does not say enough: the node.
 */
export const onHost = (host: string, summary?: string) =>
  proxyActivities<HostActivities>({
    ...shared,
    taskQueue: hostTaskQueue(host),
    startToCloseTimeout: '2 hours',
    retry: patient,
    ...(summary === undefined ? {} : { summary }),
  });

/**
 * Archives writes: for ever, whatever happens. The pause between two tries stays short, also after many in a day: the server's backlog does not wait.
 */
const forEver = { initialInterval: '500 milliseconds', backoffCoefficient: 2, maximumInterval: '5 seconds' } as const;

/** Follows a shard's writes; ends by itself after a day, so that the workflow can begin anew. */
export const archives = (host: string, summary: string) =>
  proxyActivities<Pick<ArchiveActivities, 'archiveShard'>>({
    ...shared,
    taskQueue: hostArchiveTaskQueue(host),
    startToCloseTimeout: '3 days',
    retry: forEver,
    summary,
  });

/** As `archives`, for what is done now and then. When it fails it is done the next time. */
export const tendsArchive = (host: string) =>
  proxyActivities<Pick<ArchiveActivities, 'tendArchive'>>({
    ...shared,
    taskQueue: hostArchiveTaskQueue(host),
    startToCloseTimeout: '6 hours',
    retry: { ...forEver, maximumInterval: '1 minute', maximumAttempts: 5 },
  });

/** What the long-lived archive asks besides: nobody waits for it, so it is tried until it is answered. */
export const archiveControl = proxyActivities<Pick<ControlActivities, 'readCluster' | 'endTimelines'>>({
  ...shared,
  startToCloseTimeout: '10 minutes',
  retry: { ...forEver, maximumInterval: '30 seconds' },
});

/** Moves of data. Hours, perhaps days; each attempt begins where the cluster is, so there may be many. */
export const onData = (host: string) =>
  proxyActivities<DataActivities>({
    ...shared,
    taskQueue: hostDataTaskQueue(host),
    startToCloseTimeout: '30 days',
    retry: { ...patient, maximumAttempts: 100 },
  });

/** Stores and loads backups. An attempt begins anew, so there are as many as a host or a bucket that comes back needs, and no more. */
export const backsUp = (host: string, summary: string) =>
  proxyActivities<Pick<DataActivities, 'backUpShard' | 'backUpAcl'>>({
    ...shared,
    taskQueue: hostDataTaskQueue(host),
    startToCloseTimeout: '1 day',
    retry: patient,
    summary,
  });

/** As `backsUp`, next to the engine that loads. */
export const verifies = (host: string, summary: string) =>
  proxyActivities<Pick<HostActivities, 'verifyShard'>>({
    ...shared,
    taskQueue: hostTaskQueue(host),
    startToCloseTimeout: '1 day',
    retry: patient,
    summary,
  });

/** Looks for what is to be brought back: one listing a shard, and the ends of their archives. */
export const finds = proxyActivities<Pick<ControlActivities, 'findSource'>>({ ...shared, startToCloseTimeout: '10 minutes', retry: soon });

/** Lays out and loads data that is brought back: as long as there is data. */
export const restores = (host: string, summary: string) =>
  proxyActivities<
    Pick<HostActivities, 'fillShard' | 'spreadShard' | 'layOutBeside' | 'awaitLoaded' | 'awaitServes' | 'rewriteFiles' | 'copyShard'>
  >({
    ...shared,
    taskQueue: hostTaskQueue(host),
    startToCloseTimeout: '1 day',
    retry: patient,
    summary,
  });

/** As `onData`, to leave things tidy after a failure that is told anyway. */
export const tidies = (host: string) =>
  proxyActivities<Pick<DataActivities, 'repairSlots' | 'removeProbeKeys'>>({
    ...shared,
    taskQueue: hostDataTaskQueue(host),
    scheduleToCloseTimeout: '1 minute',
    retry: soon,
  });

/** As `onHost`, for looking only. */
export const looksAt = (host: string) =>
  proxyActivities<Pick<HostActivities, 'observe' | 'surveySlots' | 'scanBigKeys' | 'findOpenSlots' | 'findUnfinished'>>({
    ...shared,
    taskQueue: hostTaskQueue(host),
    startToCloseTimeout: '2 minutes',
    retry: soon,
  });

/** As `control`, for `status` and `list`. */
export const controlReads = proxyActivities<ControlActivities>({ ...shared, scheduleToCloseTimeout: '20 seconds', retry: brief });

/** What `status` can do without: it is not waited for long. */
export const asides = proxyActivities<Pick<ControlActivities, 'readBackupStatus' | 'readDrill'>>({
  ...shared,
  scheduleToCloseTimeout: '8 seconds',
  retry: { maximumAttempts: 1 },
});

/** As `onHost`, for `status` and `list`: a host that no worker serves must not keep a person waiting. */
export const hostReads = (host: string) =>
  proxyActivities<HostActivities>({ ...shared, taskQueue: hostTaskQueue(host), scheduleToCloseTimeout: '30 seconds', retry: brief });
