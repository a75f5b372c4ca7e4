import { join } from 'node:path';
import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { operationWorkflowId, WORKFLOW_TASK_QUEUE } from '../../config/names.ts';
import type { OperationName } from '../../config/operations.ts';
import type { OperationResult } from '../../config/progress.ts';
import type { StatusReport } from '../../config/status.ts';
import { checkout } from '../../scripts/setup/home.ts';
import { uniqueName } from './clusters.ts';
import { formatPoint, type Meddling, meddlingVariable, type Point, pointsOf } from './crash-points.ts';
import { expectRemains, type Remains, remainsOf, removeRemains } from './crash-remains.ts';
import type { Running } from './processes.ts';
import { type Stack, startStack } from './stack.ts';

/** One cluster of a test, on a stack. */
export interface Subject {
  readonly stack: Stack;
  readonly cluster: string;
}

/** An operation that is to survive: any one, with the state that it begins from and what must be true when it has ended. */
export interface Survivor {
  readonly operation: OperationName;
  readonly input: (cluster: string) => unknown;
  /** The cluster's name, where each run on a stack is to have the same one. */
  readonly clusterOn?: (stack: Stack) => string;
  /** Makes the state before, with a healthy worker. */
  readonly prepare?: (subject: Subject) => Promise<void>;
  /** Asked after every run, the good one too, while a worker runs. @throws when something is not true. */
  readonly check: (subject: Subject, result: OperationResult) => Promise<void>;
}

/** What a good run did and left. */
export interface GoodRun {
  readonly points: readonly Point[];
  readonly remains: Remains;
}

/** Does something with one stack and one cluster on it, which is to end like the good run although it was disturbed at the point. */
export type Disturbed<S extends Survivor> = (stack: Stack, survivor: S, good: GoodRun, point: Point) => Promise<void>;

export const meddlingWorker = join(checkout, 'test', 'crash', 'meddling-worker.ts');

export const startMeddlingWorker = (stack: Stack, meddling: Meddling): Running =>
  stack.startWorker({ entry: meddlingWorker, env: { [meddlingVariable]: JSON.stringify(meddling) } });

/** Starts a workflow on the cluster, under an id that names it. */
export const start = ({ stack, cluster }: Subject, type: string, input: unknown): Promise<WorkflowHandle> =>
  stack.client.workflow.start(type, {
    taskQueue: WORKFLOW_TASK_QUEUE,
    workflowId: operationWorkflowId(cluster, type, uniqueName()),
    args: [input],
  });

/** The result; or an error that says why it failed, without what Temporal wraps around. */
export async function resultOf<T = OperationResult>(handle: WorkflowHandle): Promise<T> {
  try {
    return (await handle.result()) as T;
  } catch (error) {
    const reason = error instanceof WorkflowFailedError && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Error(`${handle.workflowId} did not end well: ${reason}`, { cause: error });
  }
}

export const execute = async <T = OperationResult>(subject: Subject, type: string, input: unknown): Promise<T> =>
  resultOf<T>(await start(subject, type, input));

/** @throws Error when the cluster is not healthy by its own nodes' word. */
export async function expectHealthy(subject: Subject): Promise<StatusReport> {
  const status = await execute<StatusReport>(subject, 'status', { cluster: subject.cluster });
  if (status.verdict !== 'healthy') throw new Error(`the cluster is ${status.verdict}: ${status.headline}`);
  return status;
}

/** A cluster of its own on the stack, and nothing of it afterwards. Without workers before, and without any after. */
export async function onCluster<T>(stack: Stack, work: (subject: Subject) => Promise<T>, cluster = uniqueName('c')): Promise<T> {
  const subject = { stack, cluster };
  begunOn(stack).clusters.add(subject.cluster);
  try {
    return await work(subject);
  } finally {
    await removeBegun(stack);
  }
}

/** What was begun on a stack. A run that fails in the middle must leave nothing to the next; one that hangs is never finished by itself. */
interface Begun {
  readonly workers: Set<Running>;
  readonly clusters: Set<string>;
}

const begun = new Map<Stack, Begun>();

function begunOn(stack: Stack): Begun {
  const found = begun.get(stack) ?? { workers: new Set(), clusters: new Set() };
  begun.set(stack, found);
  return found;
}

async function removeBegun(stack: Stack): Promise<void> {
  await stopWorkers(stack);
  const { clusters } = begunOn(stack);
  for (const cluster of clusters) {
    await removeRemains(stack, cluster);
    clusters.delete(cluster);
  }
}

/** A cluster that is there until the stack ends. */
export function beginCluster(stack: Stack): Subject {
  const cluster = uniqueName('c');
  begunOn(stack).clusters.add(cluster);
  return { stack, cluster };
}

/** A stack without a worker. `endStacks` ends it. */
export async function beginStack(): Promise<Stack> {
  const stack = await startStack({ withWorker: false });
  begunOn(stack);
  return stack;
}

/** For `afterAll`: ends every stack that was begun, and removes what a test that ran out of time has left. */
export async function endStacks(): Promise<void> {
  await Promise.all(
    [...begun.keys()].map(async (stack) => {
      try {
        await removeBegun(stack);
      } finally {
        begun.delete(stack);
        await stack.stop();
      }
    }),
  );
}

export function worker(stack: Stack, meddling?: Meddling): Running {
  const started = meddling === undefined ? stack.startWorker() : startMeddlingWorker(stack, meddling);
  begunOn(stack).workers.add(started);
  return started;
}

export async function stopWorkers(stack: Stack): Promise<void> {
  const { workers } = begunOn(stack);
  await Promise.all([...workers].map((one) => one.kill('SIGKILL')));
  workers.clear();
}

/** What is waited for, or an error when the worker that should do it ends before: nobody else would. */
export const whileRuns = <T>({ stack }: Subject, doer: Running, work: Promise<T>): Promise<T> =>
  Promise.race([
    work,
    doer.ended.then((end): never => {
      throw new Error(`the worker ended: ${end}\n${stack.workerLog().slice(-2000)}`);
    }),
  ]);

/** The state before the operation; no worker runs afterwards. */
export async function prepared(subject: Subject, { prepare }: Survivor): Promise<void> {
  if (prepare === undefined) return;
  await whileRuns(subject, worker(subject.stack), prepare(subject));
  await stopWorkers(subject.stack);
}

/** Runs the operation undisturbed: for what it does, and what it leaves. */
export const runWell = (stack: Stack, survivor: Survivor): Promise<GoodRun> =>
  onCluster(
    stack,
    async (subject) => {
      await prepared(subject, survivor);
      const doer = worker(stack);
      const handle = await start(subject, survivor.operation, survivor.input(subject.cluster));
      await survivor.check(subject, await whileRuns(subject, doer, resultOf(handle)));
      return { points: await pointsOf(stack.client, handle.workflowId), remains: await remainsOf(stack, subject.cluster) };
    },
    survivor.clusterOn?.(stack),
  );

/**
 * Runs the operation with a worker that dies at the point, and then with a second one.
 * @throws Error when the point is never reached, or when anything afterwards differs from the good run.
 */
export const surviveCrash = (stack: Stack, survivor: Survivor, good: GoodRun, point: Point, successor?: Meddling): Promise<void> =>
  onCluster(
    stack,
    async (subject) => {
      const { operation, input, check } = survivor;
      await prepared(subject, survivor);
      const doomed = worker(stack, { crashAt: point });
      const handle = await start(subject, operation, input(subject.cluster));
      const end = await Promise.race([doomed.ended, resultOf(handle).then(() => 'the operation ended')]);
      if (end !== 'SIGKILL') throw new Error(`the worker did not die at ${formatPoint(point)}: ${end}`);
      const result = await whileRuns(subject, worker(stack, successor), resultOf(handle));
      if (result.outcome !== 'done') throw new Error(`its outcome is ${result.outcome}`);
      await check(subject, result);
      await expectRemains(stack, subject.cluster, good.remains);
    },
    survivor.clusterOn?.(stack),
  );

/** How one run of a matrix ended; `problem` is missing when it survived. */
export interface Survival {
  readonly point: Point;
  readonly tookMs: number;
  readonly problem?: string;
}

/**
 * Disturbs the operation at every point that `chosen` takes, on several stacks side by side, and prints a line for each. The stacks stay for
 * `endStacks`.
 * @throws Error when a chosen point does not exist any more.
 */
export async function throughPoints<S extends Survivor>(
  survivor: S,
  { disturb, chosen, lanes }: { readonly disturb: Disturbed<S>; readonly chosen: readonly string[] | 'all'; readonly lanes: number },
): Promise<readonly Survival[]> {
  const stacks = await Promise.all(Array.from({ length: lanes }, beginStack));
  const [first] = stacks;
  if (first === undefined) throw new RangeError('at least one lane');
  const good = await runWell(first, survivor);
  const gone = chosen === 'all' ? [] : chosen.filter((name) => good.points.every((point) => formatPoint(point) !== name));
  if (gone.length > 0) throw new Error(`${survivor.operation} has no such activity any more: ${gone.join(', ')}`);
  const queue = good.points.filter((point) => chosen === 'all' || chosen.includes(formatPoint(point)));
  const survivals: Survival[] = [];
  await Promise.all(
    stacks.map(async (stack) => {
      for (let point = queue.shift(); point !== undefined; point = queue.shift()) {
        const startedAt = Date.now();
        const problem = await disturb(stack, survivor, good, point).then(
          () => undefined,
          (error: unknown) => (error instanceof Error ? error.message : String(error)),
        );
        const survival = { point, tookMs: Date.now() - startedAt, ...(problem === undefined ? {} : { problem }) };
        survivals.push(survival);
        print(survivor, survival);
      }
    }),
  );
  return survivals;
}

const print = ({ operation }: Survivor, { point, tookMs, problem }: Survival): void => {
  process.stdout.write(
    `  ${operation}: disturbed at ${formatPoint(point).padEnd(28)} ${(tookMs / 1000).toFixed(1).padStart(5)} s  ${problem ?? 'survived'}\n`,
  );
};
