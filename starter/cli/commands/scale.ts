import type { OperationInput } from '../../../config/operations.ts';
import { carryOut } from '../carry-out.ts';
import type { ExitCode } from '../exit-codes.ts';
import { CliError } from '../explain-error.ts';
import type { Session } from '../session.ts';
import { type MovingOptions, movingInput, type StartingOptions, sharedInput } from '../shared-options.ts';

export interface ScaleOptions extends StartingOptions, MovingOptions {
  readonly shards?: number;
  readonly replicas?: number;
  readonly memory?: string;
  readonly cpus?: number;
}

/** The input that the options ask for. @throws CliError when they name no size */
export function scaleInputOf(cluster: string, options: ScaleOptions): OperationInput<'scale'> {
  const { shards, replicas, memory, cpus } = options;
  if ([shards, replicas, memory, cpus].every((size) => size === undefined))
    throw new CliError(`Say what shall change: --shards, --replicas, --memory or --cpus, such as: holdfast scale ${cluster} --shards 4`);
  const resources = memory === undefined && cpus === undefined ? undefined : { memory, cpus };
  return { cluster, shards, replicasPerShard: replicas, resources, ...movingInput(options), ...sharedInput(options) };
}

/** `holdfast scale <cluster> --shards 4`: the size that the cluster shall have. */
export async function scale(session: Session, cluster: string, options: ScaleOptions): Promise<ExitCode> {
  const input = scaleInputOf(cluster, options);
  return carryOut<'scale'>(session, { request: () => ({ operation: 'scale', input }), options });
}
