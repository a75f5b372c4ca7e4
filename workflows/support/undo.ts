import { reasonOf } from './failure.ts';
import type { ProgressBoard } from './progress.ts';

/** What was registered is not undone any more; all else still is. */
export type Forget = () => void;

/** How to undo what an operation has begun. */
export interface UndoList {
  /** `last`: only when everything after it was undone; what opens the rest must not go while the rest is there. */
  add(name: string, undo: () => Promise<unknown>, last?: 'last'): Forget;
  /** Nothing that was registered so far is undone any more. */
  clear(): void;
  /** Undoes in reverse order. One that fails does not keep the others from running; each is told of in the result. */
  run(): Promise<readonly string[]>;
}

export function createUndoList(board: ProgressBoard): UndoList {
  const undos: { readonly name: string; readonly undo: () => Promise<unknown>; readonly last: boolean }[] = [];
  return {
    add(name, undo, last) {
      const one = { name, undo, last: last === 'last' };
      undos.push(one);
      return () => {
        const at = undos.indexOf(one);
        if (at !== -1) undos.splice(at, 1);
      };
    },
    clear: () => void undos.splice(0),
    async run() {
      const problems: string[] = [];
      if (undos.length > 0) board.stage('undo');
      for (const { name, undo, last } of undos.toReversed()) {
        if (last && problems.length > 0) {
          problems.push(`${name}: left as it is, since the rest is still there`);
          continue;
        }
        board.step(name, 'running');
        const problem = await undo().then(
          () => undefined,
          (error: unknown) => reasonOf(error),
        );
        board.step(name, problem === undefined ? 'undone' : 'undo failed', problem);
        if (problem !== undefined) problems.push(`${name}: ${problem}`);
      }
      return problems;
    },
  };
}

/** Waits for all, then throws what went wrong, if anything did: none is left running behind. */
export async function settleAll(work: readonly Promise<unknown>[]): Promise<void> {
  const problems = (await Promise.allSettled(work)).filter((outcome) => outcome.status === 'rejected');
  const [first] = problems;
  if (first !== undefined) throw first.reason;
}
