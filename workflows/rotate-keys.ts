import { workflowInfo } from '@temporalio/workflow';
import { failures } from '../config/failures.ts';
import { type KeyReport, listKeysInput } from '../config/keys.ts';
import type { OperationResult } from '../config/progress.ts';
import { planRotateKeys, rotateKeysSteps as steps } from '../model/plan-rotate-keys.ts';
import { count } from '../model/words.ts';
import { fail, plainly } from './support/failure.ts';
import { readInput } from './support/input.ts';
import { operation } from './support/operation.ts';
import { control, controlReads } from './support/proxies.ts';

/**
 * What is sealed of a cluster gets a new key, and the master key that the workers seal under. Data is not touched. Also of a cluster that is gone. There is nothing to undo: at every moment
 * each key opens with one of the master keys that the workers have.
 */
export async function rotateKeys(raw: unknown): Promise<OperationResult> {
  return operation(
    'rotateKeys',
    raw,
    (input) => input.cluster,
    async (op, input) => {
      const { cluster } = input;
      const { plan } = await op.propose(
        () => control.surveyKeys(cluster),
        (found) => {
          if (found.secrets === undefined && found.keys.length === 0)
            throw fail(
              failures.clusterNotFound,
              `there is no cluster named ${cluster}, and nothing sealed of one: holdfast keys list shows all`,
            );
          return planRotateKeys(input, found);
        },
      );
      const planned = (name: string) => plan.steps.some((step) => step.name === name);
      if (planned(steps.make))
        await op.step(
          steps.make,
          () => control.makeKey(cluster, plan.under, workflowInfo().runId.slice(-8)),
          ({ id }) => id,
        );
      if (planned(steps.rewrap)) await op.step(steps.rewrap, () => control.rewrapKeys(cluster, plan.under));
      if (planned(steps.check))
        await op.step(
          steps.check,
          () => control.checkKeys(cluster, plan.under),
          ({ keys }) => count(keys, 'key'),
        );
      return { summary: plan.summary };
    },
  );
}

/** What is sealed under which master key, of every cluster. Takes no lock: it only looks. */
export async function listKeys(raw: unknown): Promise<KeyReport> {
  readInput(listKeysInput, raw, 'listKeys');
  return plainly(() => controlReads.listKeys());
}
