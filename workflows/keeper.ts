import {
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { Acceptance, KeeperInput } from '../activities/temporal/keeper.ts';
import { failures } from '../config/failures.ts';
import type { JournalEntry } from '../config/progress.ts';
import { type KeeperDescription, keeperHandlers } from '../config/status.ts';
import { fail } from './support/failure.ts';

/** Entries that the journal holds; older ones are in the histories of their operations. */
const JOURNAL_LENGTH = 200;
/** Each signal is about four events; a run stays small enough to be replayed in a moment. */
const EVENTS_A_RUN = 2000;

/** Holds what a cluster shall be, and the journal of what was done to it. Lives as long as the cluster; nothing runs while nothing happens. */
export async function keeper(input: KeeperInput): Promise<void> {
  // Operations start it; by hand it may get anything, and a raw error would fail its task for ever.
  if (typeof input?.spec?.name !== 'string' || !Array.isArray(input.journal))
    throw fail(failures.invalidInput, 'operations start the keeper of a cluster: ask for provision instead');
  let { spec, generation, acceptedAt } = input;
  let journal = input.journal;
  let closed = false;

  // Before the handlers: a signal that came before the first task is handled in the moment its handler is set.
  const show = () => {
    const recent = journal
      .slice(-10)
      .map(
        (entry) =>
          `| ${entry.endedAt} | ${entry.operation} | ${entry.outcome} | ${entry.by} | ${entry.summary.split('\n')[0]?.replaceAll('|', '\\|')} |`,
      );
    const table = recent.length === 0 ? [] : ['| when | operation | outcome | by | |', '|---|---|---|---|---|', ...recent.reverse()];
    setCurrentDetails(
      [`**${spec.name}**: ${spec.engine} ${spec.version}, generation ${generation} since ${acceptedAt}`, '', ...table].join('\n'),
    );
  };

  setHandler(defineQuery<KeeperDescription>(keeperHandlers.describe), () => ({ cluster: spec.name, spec, generation, acceptedAt }));
  setHandler(defineQuery<readonly JournalEntry[]>(keeperHandlers.journal), () => journal);
  setHandler(defineSignal<[Acceptance]>(keeperHandlers.accept), (accepted) => {
    if (typeof accepted?.spec?.name !== 'string' || !(accepted.generation > generation)) return; // told twice, or no spec at all
    ({ spec, generation, acceptedAt } = accepted);
    show();
  });
  setHandler(defineSignal<[JournalEntry]>(keeperHandlers.record), (entry) => {
    if (typeof entry?.summary !== 'string' || journal.some((known) => known.runId === entry.runId)) return; // told twice, or no entry at all
    journal = [...journal, entry].slice(-JOURNAL_LENGTH);
    show();
  });
  setHandler(defineSignal(keeperHandlers.close), () => {
    closed = true;
  });

  show();

  await condition(() => closed || workflowInfo().continueAsNewSuggested || workflowInfo().historyLength > EVENTS_A_RUN);
  await condition(allHandlersFinished);
  if (!closed) await continueAsNew<typeof keeper>({ spec, generation, acceptedAt, journal });
}
