import type { OperationInput } from '../../../config/operations.ts';
import type { Plan } from '../../../config/progress.ts';
import { carryOut } from '../carry-out.ts';
import { requireName } from '../confirm-name.ts';
import type { ExitCode } from '../exit-codes.ts';
import type { FieldText } from '../option-values.ts';
import type { Session } from '../session.ts';
import { type StartingOptions, sharedInput } from '../shared-options.ts';
import { loadFields, withFields } from '../spec-file.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface RestoreOptions extends StartingOptions {
  /** Left out: in place. */
  readonly into?: string;
  readonly confirm?: string;
  readonly ttl?: 'absolute' | 'shift';
  readonly backup?: string;
  /** ISO 8601. */
  readonly at?: string;
  readonly latest?: true;
  readonly include?: readonly string[];
  /** Fields of the spec, from `--set` and from a file; the former count more. */
  readonly set?: readonly FieldText[];
  readonly filename?: string;
  readonly shardsAtOnce?: number;
}

export function restoreInputOf(
  cluster: string,
  { into, backup, at, latest, include, ttl, shardsAtOnce, ...options }: RestoreOptions,
  changes: Fields,
): OperationInput<'restore'> {
  // In place the name is asked for once the plan was shown.
  const confirm = into === undefined || into === cluster ? { confirm: cluster } : {};
  const which = { backup, at, latest, include: include && [...include] };
  return { cluster, into, ...confirm, ...which, ttl, changes, shardsAtOnce, ...sharedInput(options) };
}

/** `holdfast restore <cluster> [--into <name>]` */
export async function restore(session: Session, cluster: string, options: RestoreOptions): Promise<ExitCode> {
  requireName(cluster, options.confirm);
  const written = options.filename === undefined ? {} : await loadFields(options.filename);
  const input = restoreInputOf(cluster, options, withFields(written, options.set ?? []));
  return carryOut<'restore'>(session, {
    request: () => ({ operation: 'restore', input }),
    ...(options.latest === true ? { fromPlan: shownData } : {}),
    ...(options.confirm === undefined ? {} : { named: options.confirm }),
    options,
  });
}

/** The newest data is newer in the next moment: what runs is what was shown. */
export function shownData({ recovery }: Pick<Plan, 'recovery'>): Partial<OperationInput<'restore'>> {
  const at = recovery?.[0]?.asOf;
  return at === undefined ? {} : { at, latest: undefined };
}

export interface DrillOptions extends StartingOptions {
  /** ISO 8601. */
  readonly at?: string;
  readonly shardsAtOnce?: number;
}

/** `holdfast drill <cluster>` */
export async function drill(session: Session, cluster: string, options: DrillOptions): Promise<ExitCode> {
  const { at, shardsAtOnce } = options;
  const input = { cluster, at, shardsAtOnce, ...sharedInput(options) };
  return carryOut<'drill'>(session, {
    request: () => ({ operation: 'drill', input }),
    fromPlan: ({ recovery }) => ({ at: at ?? recovery?.[0]?.asOf }),
    options,
  });
}
