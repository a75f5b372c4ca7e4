import type { ExplicitMove } from '../../../config/migration.ts';
import type { OperationInput } from '../../../config/operations.ts';
import type { Plan } from '../../../config/progress.ts';
import { carryOut } from '../carry-out.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { type MovingOptions, movingInput, type StartingOptions, sharedInput } from '../shared-options.ts';

export interface RebalanceOptions extends StartingOptions, MovingOptions {
  readonly by?: 'slots' | 'keys' | 'memory';
  readonly weight?: Readonly<Record<string, number>>;
  /** Percent. */
  readonly threshold?: number;
  readonly maxMoves?: number;
  readonly move?: readonly ExplicitMove[];
}

export function rebalanceInputOf(cluster: string, options: RebalanceOptions): OperationInput<'rebalance'> {
  const { by, weight, threshold, maxMoves, move } = options;
  const share = { by, weights: weight && { ...weight }, threshold, maxMoves, moves: move && [...move] };
  return { cluster, ...share, ...movingInput(options), ...sharedInput(options) };
}

/**
 * The moves of the plan that was shown, as input: keys are written meanwhile, and a plan by keys or memory that is made twice differs. What was
 * shown is what runs.
 */
export function movesOf({ moves = [] }: Pick<Plan, 'moves'>): Pick<OperationInput<'rebalance'>, 'moves'> {
  return moves.length === 0 ? {} : { moves: moves.map(({ from, to, ranges }) => ({ from, to, slots: ranges })) };
}

/** `holdfast rebalance <cluster>`: moves slots until each primary has its share. */
export async function rebalance(session: Session, cluster: string, options: RebalanceOptions): Promise<ExitCode> {
  const input = rebalanceInputOf(cluster, options);
  return carryOut<'rebalance'>(session, { request: () => ({ operation: 'rebalance', input }), fromPlan: movesOf, options });
}
