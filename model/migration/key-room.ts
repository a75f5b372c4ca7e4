import type { PlannedMove } from '../../config/migration.ts';
import { hasSlot } from '../slots.ts';
import { mib } from '../words.ts';
import type { SlotMove } from './moves.ts';
import { gainsOf, refuseBigKeys } from './planned-moves.ts';
import type { BigKeyScan, SlotSurvey } from './survey.ts';

/**
 * How often a server holds a key while it takes it: as it came, as the value made of it, twice on its way into the append-only file, and once on its way to the
 * replicas. Measured without replicas: 4.0 on Redis 7.0 and 8.0 and on Valkey 8.1 and 9.1. `maxmemory` does not count most of it: a container that is too
 * small is killed, again with each attempt.
 */
const HELD_BY_TAKER = 5;
/** And the one that sends it: the value, and twice what is made of it. Measured: 3.0. */
const HELD_BY_SENDER = 3;

/** Keys that it takes a look at whether a container has room for them: those above a twentieth of it. */
export const listedFrom = (maxKeyBytes: number, containerBytes: number): number => Math.min(maxKeyBytes, Math.floor(containerBytes / 20));

/** A server that a key goes through: what it holds besides the key, and what its container has, in bytes. */
export interface Side {
  readonly besides: number;
  readonly containerBytes: number;
}

/** Which side of a MIGRATE has no room for a key: how often it holds it, and how much that is with all that is there. Undefined when both have room. */
export function tightFor(bytes: number, taker: Side, sender: Side): Tight | undefined {
  const sides = [
    { ...taker, by: 'taker', times: HELD_BY_TAKER },
    { ...sender, by: 'sender', times: HELD_BY_SENDER },
  ] as const;
  const tight = sides.find(({ besides, containerBytes, times }) => besides + times * bytes > containerBytes);
  if (tight === undefined) return undefined;
  const { by, times, besides, containerBytes } = tight;
  return { by, times, most: `${mib(besides + times * bytes)} with the rest, of ${mib(containerBytes)}` };
}

export interface Tight {
  readonly by: 'taker' | 'sender';
  readonly times: number;
  readonly most: string;
}

/** Keys that would have a server killed while it sends or takes them. Nothing but memory helps: no quiet hour, and no limit. */
export function refuseWithoutRoom(scan: BigKeyScan, { moves, rows, survey, containerBytes }: Passage): readonly string[] {
  const gains = gainsOf(rows);
  const used = (shard: number) => survey.memory[shard]?.used ?? 0;
  return scan.big.flatMap(({ key, slot, shard, bytes }) => {
    const to = moves.find((move) => move.from === shard && hasSlot(move.slots, slot))?.to;
    if (to === undefined) return [];
    const taker = { besides: used(to) + (gains.get(to) ?? 0) - bytes, containerBytes };
    const tight = tightFor(bytes, taker, { besides: used(shard) - bytes, containerBytes });
    if (tight === undefined) return [];
    const [where, does] = tight.by === 'taker' ? [to, 'takes'] : [shard, 'sends'];
    return [
      `${key} (slot ${slot}) has ${mib(bytes)}, and shard ${where} holds it ${tight.times} times while it ${does} it: ${tight.most}. Its server would be killed: give nodes more memory first (holdfast scale --memory), or part the key`,
    ];
  });
}

/** Why keys keep a plan from being moved by MIGRATE. */
export const refuseKeys = (
  scan: BigKeyScan,
  { bigKeys, maxKeyBytes, ...passage }: Passage & { readonly bigKeys: 'stop' | 'move'; readonly maxKeyBytes: number },
): readonly string[] => [...refuseBigKeys(scan, bigKeys, maxKeyBytes), ...refuseWithoutRoom(scan, passage)];

export interface Passage {
  readonly moves: readonly SlotMove[];
  readonly rows: readonly PlannedMove[];
  readonly survey: SlotSurvey;
  /** Memory of a node's container. */
  readonly containerBytes: number;
}
