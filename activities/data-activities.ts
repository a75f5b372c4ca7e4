import { activityInfo } from '@temporalio/activity';
import type { Client } from '@temporalio/client';
import type { MoveLimits, MoveProgress } from '../config/migration.ts';
import { operationHandlers } from '../config/progress.ts';
import { type SlotMove, slotsOf } from '../model/migration/moves.ts';
import { backUpAcl } from './backup/back-up-acl.ts';
import { type BackupDeps, backUpShard, type ShardRequest } from './backup/back-up-shard.ts';
import type { ClosedSlots } from './migration/close-open-slots.ts';
import type { ClusterRef, MigrationDeps } from './migration/cluster-now.ts';
import { gatherCrew } from './migration/crew.ts';
import { keyOfSlot } from './migration/ledger.ts';
import { type MoveDeps, moveSlots } from './migration/move-slots.ts';
import type { MoveRequest } from './migration/move-state.ts';
import { repairSlots } from './migration/repair-slots.ts';
import { askIfAwaited, thoughCancelled } from './support/awaited.ts';
import { beating } from './support/beating.ts';

export interface DataDeps extends MigrationDeps, BackupDeps, Pick<MoveDeps, 'moveGroup'> {
  readonly client: Client;
}

/** What moves data between the nodes of a host's clusters, on a queue of its own: it may take hours, and few run at a time. */
export function createDataActivities(deps: DataDeps) {
  /** The workflow that asked, so that its details in the Temporal UI are of now. */
  const tell = async (progress: MoveProgress): Promise<void> => {
    const { workflowExecution } = activityInfo();
    if (workflowExecution === undefined) return;
    const { workflowId, runId } = workflowExecution;
    await thoughCancelled(deps.client, () => deps.client.workflow.getHandle(workflowId, runId).signal(operationHandlers.moved, progress));
  };
  /** To be made in the activity that asks. */
  const confirm = (): MoveDeps['confirm'] => {
    const ask = askIfAwaited(deps.client);
    return () => thoughCancelled(deps.client, ask);
  };
  return beating({
    moveSlots: (request: MoveRequest) => moveSlots({ ...deps, tell, confirm: confirm() }, request),

    backUpShard: (request: ShardRequest) => backUpShard(deps, request),
    backUpAcl: (request: Pick<ShardRequest, 'spec' | 'backup'>) => backUpAcl(deps, request),

    /** Closes slots that anybody left open. @throws SlotConflict when a person must decide about some; all others are closed by then */
    repairSlots: (ref: ClusterRef, limits: MoveLimits): Promise<ClosedSlots> => repairSlots({ ...deps, confirm: confirm() }, ref, limits),

    /** The ledger's keys are gone from the slots of some moves. Only after the ledger was read: a second attempt would miss them. */
    removeProbeKeys: async (ref: ClusterRef, moves: readonly SlotMove[], limits: MoveLimits): Promise<void> => {
      const crew = await gatherCrew(deps, ref, { nodeAwayMs: limits.nodeAwayMs, mends: true });
      const wanted = new Set(moves.flatMap((move) => slotsOf(move.slots)));
      try {
        await Promise.all(
          Array.from({ length: ref.spec.shards }, async (_, shard) => {
            const slots = crew.slots(shard).filter((slot) => wanted.has(slot));
            await crew.primary(shard).wire.ask(slots.map((slot) => ['UNLINK', keyOfSlot(slot)]));
          }),
        );
      } finally {
        crew.close();
      }
    },
  });
}

export type DataActivities = ReturnType<typeof createDataActivities>;
