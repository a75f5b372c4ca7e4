import type { PlannedMove } from '../../config/migration.ts';
import { type SlotMove, slotsOf } from './moves.ts';
import type { BigKeyScan, SlotSurvey } from './survey.ts';

/**
 * How often a server holds a key while it takes it: as it came, as the value made of it, twice on its way into the append-only file, and once on its way to the
 * replicas. Measured without replicas: 4.0 on Redis 7.0 and 8.0 and on Valkey 8.1 and 9.1. `maxmemory` does not count most of it: a container that is too
 * small is killed, again with each attempt.
 */
export const HELD_BY_TAKER = 5;
/** And the one that sends it: the value, and twice what is made of it. Measured: 3.0. */
export const HELD_BY_SENDER = 3;

/** Keys that it takes a look at whether a container has room for them: those above a twentieth of it. */
export const listedFrom = (maxKeyBytes: number, containerBytes: number): number => Math.min(maxKeyBytes, Math.floor(containerBytes / 20));

/** Keys that would have a server killed while it sends or takes them. Nothing but memory helps: no quiet hour, and no limit. */
export function refuseWithoutRoom(scan: BigKeyScan, { moves, rows, survey, containerBytes }: Passage): readonly string[] {
  const gains = new Map<number, number>();
  for (const { to, bytes } of rows) gains.set(to, (gains.get(to) ?? 0) + bytes);
  const used = (shard: number) => survey.memory[shard]?.used ?? 0;
  return scan.big.flatMap(({ key, slot, shard, bytes }) => {
    const to = moves.find((move) => move.from === shard && slotsOf(move.slots).includes(slot))?.to;
    if (to === undefined) return [];
    const tight = [
      { shard: to, most: used(to) + (gains.get(to) ?? 0) + (HELD_BY_TAKER - 1) * bytes, does: 'takes', times: HELD_BY_TAKER },
      { shard, most: used(shard) + (HELD_BY_SENDER - 1) * bytes, does: 'sends', times: HELD_BY_SENDER },
    ].find(({ most }) => most > containerBytes);
    return tight === undefined
      ? []
      : [
          `${key} (slot ${slot}) has ${mib(bytes)}, and shard ${tight.shard} holds it ${tight.times} times while it ${tight.does} it: ${mib(tight.most)} with the rest, of ${mib(containerBytes)}. Its server would be killed: give nodes more memory first (holdfast scale --memory), or part the key`,
        ];
  });
}

export interface Passage {
  readonly moves: readonly SlotMove[];
  readonly rows: readonly PlannedMove[];
  readonly survey: SlotSurvey;
  /** Memory of a node's container. */
  readonly containerBytes: number;
}

const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;
