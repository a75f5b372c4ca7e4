import type { ClusterKeys, MasterKeyIds } from '../config/keys.ts';
import type { RotateKeysInput } from '../config/operations.ts';
import type { Plan, PlanStep } from '../config/progress.ts';
import { count } from './words.ts';

/** A plan with what the runbook needs to carry it out. */
export interface RotateKeysPlan extends Plan {
  /** Id of the master key that everything is sealed under afterwards. */
  readonly under: string;
}

export const rotateKeysSteps = {
  make: 'make a new key',
  rewrap: 'seal the keys under the master key',
  check: 'open them with it',
} as const;

/** Data is not touched: a key is opened, and sealed under another master key. */
export function planRotateKeys(
  { newKey }: Pick<RotateKeysInput, 'newKey'>,
  found: ClusterKeys & { readonly master: MasterKeyIds },
): RotateKeysPlan {
  const { cluster, master, keys, secrets } = found;
  const { current, others } = master;
  const here = new Set([current, ...others]);
  const elsewhere = keys.filter(({ under }) => !under.includes(current) || under.some((id) => others.includes(id)));
  const moves = secrets !== undefined && secrets !== current;
  const leaves = [...new Set([...elsewhere.flatMap(({ under }) => under), ...(moves ? [secrets] : [])])].filter(
    (id) => id !== current && here.has(id),
  );
  const what = [...(elsewhere.length === 0 ? [] : [count(elsewhere.length, 'key')]), ...(moves ? ['the secrets'] : [])];
  const steps: readonly PlanStep[] = [
    ...(newKey
      ? [
          {
            name: rotateKeysSteps.make,
            change: `what is stored of ${cluster} from now on is sealed under it${keys.length === 0 ? '' : `; ${count(keys.length, 'key')} ${keys.length === 1 ? 'stays' : 'stay'} for what is there`}`,
          },
        ]
      : []),
    ...(what.length === 0
      ? []
      : [
          {
            name: rotateKeysSteps.rewrap,
            change: `${what.join(' and ')} of ${cluster} under ${current}${leaves.length === 0 ? '' : `, and not under ${leaves.join(' and ')} any more`}`,
            cost: 'a worker that has not got the new master key yet cannot open them from then on',
          },
        ]),
    ...(newKey || what.length > 0 ? [{ name: rotateKeysSteps.check, change: `each, with master key ${current} alone` }] : []),
  ];
  const closed = [
    ...keys.filter(({ under }) => !under.some((id) => here.has(id))).map(({ id, under }) => ({ what: `key ${id}`, under })),
    ...(secrets === undefined || here.has(secrets) ? [] : [{ what: 'the secrets', under: [secrets] }]),
  ];
  return {
    summary:
      steps.length === 0
        ? `${cluster}: everything is sealed under master key ${current}`
        : `${cluster}: ${[...(newKey ? ['a new key'] : []), ...(what.length === 0 ? [] : [`${what.join(' and ')} under master key ${current}`])].join(', and ')}`,
    steps,
    refusals: closed.map(
      (one) =>
        `${one.what} of ${cluster} ${one.what.endsWith('secrets') ? 'are' : 'is'} sealed under master key ${one.under.join(' or ')}, which this worker does not have: add it to the workers' master keys, in a line of its own after the first`,
    ),
    under: current,
  };
}
