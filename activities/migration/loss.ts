import { failures } from '../../config/failures.ts';
import { formatRanges, toRanges } from '../../model/migration/moves.ts';
import { fatal } from '../support/failure.ts';
import type { LostWrite } from './ledger.ts';

/** The worst that can be said: names every slot and time, and stops everything. */
const writeLost = (cluster: string, lost: readonly LostWrite[]) =>
  fatal(
    failures.writeLost,
    `${cluster} has lost ${lost.length} of the writes that it acknowledged while slots moved:\n${lost
      .slice(0, 10)
      .map(
        ({ slot, key, written, found, at }) =>
          `slot ${slot}, ${at}: write ${written} of ${key} was acknowledged, ${found === null ? 'nothing' : `write ${found}`} is there`,
      )
      .join(
        '\n',
      )}\nNo more slots are moved. Keep the nodes as they are, look at docker logs of both sides, and restore what is missing from a backup`,
    lost.slice(0, 100),
  );

/** @param evicted keys that the servers have evicted meanwhile: no more of the ledger's may be gone. @throws WriteLost */
export async function refuseLoss(cluster: string, lost: readonly LostWrite[], evicted: () => Promise<number>): Promise<void> {
  if (lost.length > 0 && lost.length > (await evicted())) throw writeLost(cluster, lost);
}

export const keysMissing = (cluster: string, { keys, slots }: { readonly keys: number; readonly slots: readonly number[] }) =>
  fatal(
    failures.verificationFailed,
    `${keys} keys of ${cluster} are not where they were moved to, in slots ${formatRanges(toRanges(slots)).slice(0, 200)}, and nobody has deleted, evicted or let expire so many meanwhile: compare with a backup before anything else moves`,
    slots.slice(0, 1000),
  );
