import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { keeperWorkflowId, searchAttributes, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { JournalEntry } from '../../config/progress.ts';
import { type KeeperDescription, keeperHandlers } from '../../config/status.ts';

/** Input of the keeper workflow. Continued runs carry the journal on. */
export interface KeeperInput {
  readonly spec: ClusterSpec;
  readonly generation: number;
  readonly acceptedAt: string;
  readonly journal: readonly JournalEntry[];
}

/** A spec to keep, with its generation; the keeper ignores one that is not newer than what it has. */
export type Acceptance = Omit<KeeperInput, 'journal'>;

/** Only a keeper that is not there, or was closed, is absence; that no worker answers its query is not. */
const absent = (error: unknown): undefined => {
  if (error instanceof WorkflowNotFoundError) return undefined;
  throw error;
};

/** The keeper, if it runs; one that was closed would answer queries all the same. */
async function runningKeeper(client: Client, cluster: string) {
  const handle = client.workflow.getHandle(keeperWorkflowId(cluster));
  const running = await handle.describe().then((found) => found.status.name === 'RUNNING', absent);
  return running === true ? handle : undefined;
}

/** What the keeper holds, or undefined when no keeper runs. */
export const describeKeeper = async (client: Client, cluster: string): Promise<KeeperDescription | undefined> =>
  (await runningKeeper(client, cluster))?.query<KeeperDescription>(keeperHandlers.describe);

/** Newest last. Empty when no keeper runs. */
export const readJournal = async (client: Client, cluster: string): Promise<readonly JournalEntry[]> =>
  (await (await runningKeeper(client, cluster))?.query<readonly JournalEntry[]>(keeperHandlers.journal)) ?? [];

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);

const attributesOf = (spec: ClusterSpec) => [
  { key: keyword(searchAttributes.cluster), value: spec.name },
  { key: keyword(searchAttributes.engine), value: `${spec.engine} ${spec.version}` },
];

/** The keeper runs and holds this spec, or a newer one. Starting and telling it are one call, so that no crash comes between. */
export async function acceptSpec(client: Client, acceptance: Acceptance, withSearchAttributes: boolean): Promise<void> {
  const input: KeeperInput = { ...acceptance, journal: [] };
  await client.workflow.signalWithStart('keeper', {
    workflowId: keeperWorkflowId(acceptance.spec.name),
    taskQueue: WORKFLOW_TASK_QUEUE,
    args: [input],
    signal: keeperHandlers.accept,
    signalArgs: [acceptance],
    memo: { cluster: acceptance.spec.name },
    ...(withSearchAttributes ? { typedSearchAttributes: attributesOf(acceptance.spec) } : {}),
    staticSummary: `keeps the spec and the journal of ${acceptance.spec.name}`,
  });
}

/** Adds a line to the journal; the keeper drops one that it has. Without a keeper there is no journal to write to. */
export async function recordInJournal(client: Client, cluster: string, entry: JournalEntry): Promise<void> {
  await client.workflow.getHandle(keeperWorkflowId(cluster)).signal(keeperHandlers.record, entry).catch(absent);
}

/** Ends the keeper and waits for its end. One that is gone is no error. */
export async function closeKeeper(client: Client, cluster: string): Promise<void> {
  const handle = client.workflow.getHandle(keeperWorkflowId(cluster));
  const told = await handle.signal(keeperHandlers.close).then(() => true, absent);
  if (told === true) await handle.result().catch(absent);
}
