import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { CancellationScope, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { z } from 'zod';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import { parseInput } from '../../config/input.ts';
import { searchAttributes } from '../../config/names.ts';
import { type OperationName, operationInputs } from '../../config/operations.ts';
import type { JournalEntry, OperationResult, Plan } from '../../config/progress.ts';
import { assess } from '../../model/health.ts';
import type { KnownCluster } from '../../model/known-cluster.ts';
import type { Observation } from '../../model/observation.ts';
import { liveParameters } from '../../model/server-conf.ts';
import { createControls } from './controls.ts';
import { detailsOf, fail, isCancellation, reasonOf, typeOf } from './failure.ts';
import { releaseLock, takeLock } from './lock.ts';
import { createProgressBoard } from './progress.ts';
import { control, onHost } from './proxies.ts';

/** The parsed input of an operation. */
type InputOf<N extends OperationName> = z.output<(typeof operationInputs)[N]>;

/** What the stages of every operation take from a runbook, and give to it. */
export interface Operation {
  readonly known: KnownCluster;
  /** Asks the engine and every node. */
  observe(spec: ClusterSpec): Promise<Observation>;
  /**
   * Shows the plan. Returns it when it is to be carried out; the operation ends here when it is refused or rejected, when it was a dry run, and
   * when there is nothing to do.
   */
  propose<P extends Plan>(plan: P): Promise<P>;
  /** Runs one step of the plan: not while paused, not after a cancellation. `note` tells a person what it found. */
  step<T>(name: string, run: () => Promise<T>, note?: (result: T) => string): Promise<T>;
  /** Runs steps side by side. When one fails the others are cancelled and waited for, before anything is undone. */
  together(steps: readonly (() => Promise<unknown>)[]): Promise<void>;
  /** How to undo a step; registered before the step runs, since a step that failed may have happened. Undone in reverse. */
  onFailure(name: string, undo: () => Promise<unknown>): void;
  /** The cluster is, by its own nodes' word, what the spec says; else the operation fails, whatever its steps said. */
  verify(spec: ClusterSpec): Promise<Observation>;
}

/** What a runbook returns. */
export interface Done {
  readonly summary: string;
  readonly generation?: number;
}

/** Thrown by `propose` to end the operation well, before it acts. */
class EndsHere extends Error {
  readonly outcome: 'planned' | 'unchanged';
  constructor(outcome: 'planned' | 'unchanged') {
    super(outcome);
    this.outcome = outcome;
  }
}

/**
 * The life of every operation: validate, lock, observe, plan, [dry run ends here], [approval], act with compensation, verify, result. A runbook
 * is only the order of its steps; all that operations share is here.
 */
export async function operation<N extends OperationName>(
  name: N,
  raw: unknown,
  subject: (input: InputOf<N>) => string,
  runbook: (op: Operation, input: InputOf<N>) => Promise<Done>,
): Promise<OperationResult> {
  const startedAt = Date.now();
  const parsed = parseInput(operationInputs[name], raw, name);
  if (!parsed.ok) throw fail(failures.invalidInput, parsed.message);
  const input = parsed.value as InputOf<N>;
  const cluster = subject(input);
  const board = createProgressBoard(name, cluster);
  const controls = createControls(board);
  upsertMemo({ cluster, operation: name });
  const { by, searchAttributes: ready } = await control.openOperation();
  if (ready) upsertSearchAttributes(attributesOf(cluster, name));

  board.stage('lock');
  const lock = await takeLock(cluster, input.whenBusy);
  const undos: { readonly name: string; readonly undo: () => Promise<unknown> }[] = [];
  let plan: Plan = { summary: '', steps: [], refusals: [] };
  const journal = async (outcome: JournalEntry['outcome'], summary: string, generation?: number) => {
    if (input.dryRun) return;
    const { workflowId, runId } = workflowInfo();
    const [start, end] = [new Date(startedAt).toISOString(), new Date().toISOString()];
    const entry: JournalEntry = { workflowId, runId, operation: name, by, startedAt: start, endedAt: end, outcome, summary };
    await control.recordInJournal(cluster, {
      ...entry,
      ...(input.reason === undefined ? {} : { reason: input.reason }),
      ...(generation === undefined ? {} : { generation }),
    });
  };
  const ended = (outcome: OperationResult['outcome'], { summary, generation }: Done): OperationResult => {
    board.stage('ended');
    const { steps } = board.now();
    return {
      operation: name,
      cluster,
      outcome,
      summary,
      plan,
      tookMs: Date.now() - startedAt,
      steps,
      ...(generation === undefined ? {} : { generation }),
    };
  };

  try {
    board.stage('observe');
    const known = await control.readCluster(cluster);
    const op: Operation = {
      known,
      observe: (spec) => observe(spec),
      async propose(proposed) {
        plan = { summary: proposed.summary, steps: proposed.steps, refusals: proposed.refusals };
        board.stage('plan');
        board.plan(plan);
        if (input.dryRun) throw new EndsHere('planned');
        if (plan.refusals.length > 0)
          throw fail(
            failures.refused,
            `${name} of ${cluster} is refused:\n${plan.refusals.map((reason) => `- ${reason}`).join('\n')}`,
            plan,
          );
        if (plan.steps.length === 0) throw new EndsHere('unchanged');
        if (input.approval?.required === true) {
          const decision = await controls.approval(input.approval.timeoutSeconds);
          board.warn(`approved by ${decision.by}${decision.reason === undefined ? '' : `: ${decision.reason}`}`);
        }
        board.stage('act');
        return proposed;
      },
      async step(step, run, note) {
        await controls.boundary();
        board.step(step, 'running');
        try {
          const result = await run();
          board.step(step, 'done', note?.(result));
          return result;
        } catch (error) {
          board.step(step, 'failed', isCancellation(error) ? 'cancelled' : reasonOf(error));
          throw isCancellation(error)
            ? error
            : fail(typeOf(error) as typeof failures.refused, `step "${step}" failed: ${reasonOf(error)}`, ...detailsOf(error));
        }
      },
      together: (steps) => together(steps),
      onFailure: (what, undo) => void undos.push({ name: what, undo }),
      async verify(spec) {
        board.stage('verify');
        const after = await observe(spec);
        const { verdict, headline, findings } = assess(spec, after);
        if (verdict !== 'healthy')
          throw fail(
            failures.verificationFailed,
            `the steps are done, but ${cluster} is ${verdict}: ${headline}. holdfast status ${cluster}`,
            findings,
          );
        return after;
      },
    };
    const done = await runbook(op, input);
    await journal('done', done.summary, done.generation);
    return ended('done', done);
  } catch (error) {
    if (error instanceof EndsHere) {
      if (error.outcome === 'unchanged') await journal('unchanged', plan.summary);
      return ended(error.outcome, { summary: plan.summary });
    }
    const failure = await CancellationScope.nonCancellable(async () => {
      if (undos.length > 0) board.stage('undo');
      const undoFailures: string[] = [];
      for (const { name: what, undo } of undos.reverse()) {
        board.step(what, 'running');
        const problem = await undo().then(
          () => undefined,
          (problem_: unknown) => reasonOf(problem_),
        );
        board.step(what, problem === undefined ? 'undone' : 'undo failed', problem);
        if (problem !== undefined) undoFailures.push(`${what}: ${problem}`);
      }
      board.stage('ended');
      const reason = isCancellation(error) ? 'cancelled' : reasonOf(error);
      const outcome = isCancellation(error) ? 'cancelled' : typeOf(error) === failures.rejected ? 'rejected' : 'failed';
      const left = undoFailures.length === 0 ? '' : `\nAnd this could not be undone, look at it: ${undoFailures.join('; ')}`;
      await journal(outcome, `${reason}${left}`);
      if (undoFailures.length > 0) return fail(failures.undoFailed, `${reason}${left}`, { type: typeOf(error), undoFailures });
      return isCancellation(error) ? error : fail(typeOf(error) as typeof failures.refused, reason, ...detailsOf(error));
    });
    throw failure;
  } finally {
    await CancellationScope.nonCancellable(() => releaseLock(lock));
  }
}

const observe = (spec: ClusterSpec): Promise<Observation> => {
  const [host = 'local'] = spec.placement.hosts;
  return onHost(host).observe({ cluster: spec.name, tls: spec.security.tls, parameters: Object.keys(liveParameters(spec)) });
};

/** All side by side; the first failure cancels the rest, and only when all have ended is it thrown. */
async function together(steps: readonly (() => Promise<unknown>)[]): Promise<void> {
  let first: unknown;
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    await Promise.all(
      steps.map(async (step) => {
        try {
          await step();
        } catch (error) {
          first ??= error;
          scope.cancel();
        }
      }),
    );
  });
  if (first !== undefined) throw first;
}

const keyword = (name: string) => defineSearchAttributeKey(name, SearchAttributeType.KEYWORD);

const attributesOf = (cluster: string, name: OperationName) => [
  { key: keyword(searchAttributes.cluster), value: cluster },
  { key: keyword(searchAttributes.operation), value: name },
];
