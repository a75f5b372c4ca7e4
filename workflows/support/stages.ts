import { CancellationScope } from '@temporalio/workflow';
import type { ClusterSpec } from '../../config/cluster-spec.ts';
import { failures } from '../../config/failures.ts';
import type { MoveLimits } from '../../config/migration.ts';
import type { OperationName } from '../../config/operations.ts';
import type { Plan } from '../../config/progress.ts';
import { halfReplaced } from '../../model/health.ts';
import { hostOf, type KnownCluster } from '../../model/known-cluster.ts';
import { canonicalJson, digest as sha256 } from '../../model/layout.ts';
import type { Observation, Unfinished } from '../../model/observation.ts';
import { liveParameters } from '../../model/server-conf.ts';
import type { Controls } from './controls.ts';
import { asCancelled, detailsOf, fail, isCancellation, isFinal, reasonOf, typeOf } from './failure.ts';
import type { Lock } from './lock.ts';
import type { ProgressBoard } from './progress.ts';
import { looksAt, onHost } from './proxies.ts';
import type { Forget, UndoList } from './undo.ts';

/** What the stages of every operation take from a runbook, and give to it. */
export interface Operation {
  /** Who started it, as Temporal recorded it. */
  readonly by: string;
  readonly known: KnownCluster;
  /** Asks the engine and every node. */
  observe(spec: ClusterSpec): Promise<Observation>;
  /**
   * Makes the plan from what is seen now, and shows it. Returns it when it is to be carried out; the operation ends here when it is refused or
   * rejected, when it was a dry run, and when there is nothing to do. After an approval it looks and plans again, for an answer may take days:
   * what is carried out is what was shown, or nothing. The second look is told what was shown.
   */
  propose<P extends Plan, S>(look: (shown?: P) => Promise<S>, plan: (seen: S) => P): Promise<{ readonly plan: P; readonly seen: S }>;
  /** Runs one step of the plan: not while paused, not after a cancellation. `note` tells a person what it found. */
  step<T>(name: string, run: () => Promise<T>, note?: (result: T) => string): Promise<T>;
  /** Runs steps side by side, `atOnce` at most. When one fails the others are cancelled and waited for, before anything is undone. */
  together(steps: readonly (() => Promise<unknown>)[], atOnce?: number): Promise<void>;
  /** How to undo a step; registered before the step runs, since a step that failed may have happened. Undone in reverse. @returns what makes that one step stay */
  onFailure(name: string, undo: () => Promise<unknown>, last?: 'last'): Forget;
  /** What was done so far stays from here on: a later failure undoes none of it. */
  keep(): void;
  /** It is let go when the operation has ended, and everything is undone that is to be. */
  holdToTheEnd(lock: Lock): void;
  /** Waits while paused. */
  boundary(): Promise<void>;
  /** Sets the limits of a move, which people may change while it runs; undefined when it is over. */
  limits(limits: MoveLimits | undefined): void;
  /**
   * Runs a long activity with the limits of now, and cancels it when a person pauses it or changes them: it must end well then, half done.
   * Undefined when it was to stop and could not say any more how far it is: its worker had died.
   */
  untilSteered<T>(run: (limits: MoveLimits) => Promise<T>): Promise<T | undefined>;
  /** How far a step came that is cancelled; part of what ends the operation says. */
  soFar(text: string): void;
  /** The cluster is, by its own nodes' word, what the spec says; else the operation fails, whatever its steps said. */
  verify(spec: ClusterSpec): Promise<void>;
}

/** Thrown by `propose` to end the operation well, before it acts. */
export class EndsHere extends Error {
  readonly outcome: 'planned' | 'unchanged';
  constructor(outcome: 'planned' | 'unchanged') {
    super(outcome);
    this.outcome = outcome;
  }
}

interface Parts {
  readonly by: string;
  readonly name: OperationName;
  readonly title: string;
  readonly input: {
    readonly dryRun: boolean;
    readonly planDigest?: string | undefined;
    readonly approval?: { readonly required: boolean; readonly timeoutSeconds: number } | undefined;
  };
  readonly known: KnownCluster;
  readonly board: ProgressBoard;
  readonly controls: Controls;
  readonly undos: UndoList;
  /** What is let go at the end. */
  readonly held: Lock[];
}

/** The stages, over one operation's progress board, controls and list of undos. */
export function createStages({ by, name, title, input, known, board, controls, undos, held }: Parts): Operation {
  return {
    by,
    known,
    async observe(spec) {
      const seen = await observe(spec);
      if (seen.unfinished !== undefined && !PUTS_IN_ORDER.has(name))
        throw fail(failures.refused, unfinishedText(title, spec, seen.unfinished));
      return seen;
    },
    async propose(look, planFrom) {
      board.stage('observe');
      const seen = await look();
      const plan = planFrom(seen);
      const digest = digestOf(plan);
      board.stage('plan');
      board.plan({
        summary: plan.summary,
        steps: plan.steps,
        refusals: plan.refusals,
        digest,
        ...(plan.moves === undefined ? {} : { moves: plan.moves }),
        ...(plan.recovery === undefined ? {} : { recovery: plan.recovery }),
        ...(plan.replaces === undefined ? {} : { replaces: plan.replaces }),
        ...(plan.backups === undefined ? {} : { backups: plan.backups }),
      });
      if (input.dryRun) throw new EndsHere('planned');
      if (plan.refusals.length > 0)
        throw fail(failures.refused, `${title} is refused:\n${plan.refusals.map((reason) => `- ${reason}`).join('\n')}`, plan.refusals);
      if (input.planDigest !== undefined && input.planDigest !== digest) throw changed(title);
      if (plan.steps.length === 0) throw new EndsHere('unchanged');
      if (input.approval?.required !== true) {
        board.stage('act');
        return { plan, seen };
      }
      const { by, reason } = await controls.approval(input.approval.timeoutSeconds);
      board.approved(`${by}${reason === undefined ? '' : `: ${reason}`}`);
      const seenNow = await look(plan);
      const planNow = planFrom(seenNow);
      if (digestOf(planNow) !== digest) throw changed(title);
      board.stage('act');
      return { plan: planNow, seen: seenNow };
    },
    async step(name, run, note) {
      await controls.boundary();
      board.step(name, 'running');
      try {
        const result = await run();
        board.step(name, 'done', note?.(result));
        return result;
      } catch (problem) {
        const error = asCancelled(problem);
        board.step(name, 'failed', isCancellation(error) ? (board.soFar() ?? 'cancelled') : reasonOf(error));
        throw isCancellation(error) ? error : fail(typeOf(error), `step "${name}" failed: ${reasonOf(error)}`, ...detailsOf(error));
      }
    },
    together,
    onFailure: undos.add,
    keep: undos.clear,
    holdToTheEnd: (lock) => void held.push(lock),
    boundary: controls.boundary,
    limits: controls.setLimits,
    async untilSteered(run) {
      await controls.boundary();
      const limits = controls.limits();
      const scope = new CancellationScope({ cancellable: true });
      let over = false;
      // Not cancelled with the operation: it ends with the activity and not before.
      const steered = CancellationScope.nonCancellable(() => controls.steered(() => over)).then(() => {
        if (!over) scope.cancel();
      });
      try {
        return await scope.run(() => run(limits));
      } catch (error) {
        // The server tries nothing again that shall stop: of an attempt whose worker has died comes a cancellation, or a timeout, and no more.
        if (scope.consideredCancelled && !isFinal(error)) return undefined;
        throw error;
      } finally {
        over = true;
        await steered;
      }
    },
    soFar: board.sayHowFar,
    async verify(spec) {
      board.stage('verify');
      await onHost(hostOf(spec)).awaitFormed(spec);
    },
  };
}

/** What may work on what a restore in place has left: itself, and what removes the whole. */
const PUTS_IN_ORDER: ReadonlySet<OperationName> = new Set(['restore', 'deprovision']);

function unfinishedText(title: string, { name }: ClusterSpec, unfinished: Unfinished): string {
  const { message, next } = halfReplaced(name, unfinished, false);
  return `${title} is refused: ${message}. Next: ${next}`;
}

/** Of what is done and what stands against it; figures that change by themselves, such as a memory's use, are in neither. */
const digestOf = ({ steps, refusals }: Plan): string => sha256(canonicalJson({ steps, refusals })).slice(0, 16);

const changed = (title: string) =>
  fail(
    failures.refused,
    `${title}: the plan has changed since it was shown, so nothing was done; look at it again (a dry run, or holdfast plan)`,
  );

const SETTLES_WITHIN_MS = 3000;

function observe(spec: ClusterSpec): Promise<Observation> {
  const parameters = Object.keys(liveParameters(spec));
  return looksAt(hostOf(spec)).observe({ cluster: spec.name, tls: spec.security.tls, parameters, settlesWithinMs: SETTLES_WITHIN_MS });
}

/** All side by side, or so many; the first failure cancels the rest, and only when all have ended is it thrown. */
async function together(steps: readonly (() => Promise<unknown>)[], atOnce = steps.length): Promise<void> {
  const problems: unknown[] = [];
  const waiting = [...steps];
  await CancellationScope.cancellable(async () => {
    const scope = CancellationScope.current();
    await Promise.all(
      Array.from({ length: Math.min(atOnce, steps.length) }, async () => {
        for (let step = waiting.shift(); step !== undefined && problems.length === 0; step = waiting.shift()) {
          try {
            await step();
          } catch (error) {
            problems.push(error);
            scope.cancel();
          }
        }
      }),
    );
  });
  if (problems.length > 0) throw problems[0];
}
