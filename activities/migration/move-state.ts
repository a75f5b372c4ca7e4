import type { MoveLimits, MoveReport } from '../../config/migration.ts';
import { type Latencies, noLatencies, summarise } from '../../model/migration/latency.ts';
import type { SlotMove } from '../../model/migration/moves.ts';
import { countSlots } from '../../model/slots.ts';
import type { ClusterRef } from './cluster-now.ts';
import type { Counters } from './removals.ts';

/** What a move of slots has done so far: carried from attempt to attempt, and over a pause. Small, whatever the size of the data. */
export interface MoveTotals {
  readonly strategy: 'native' | 'pipelined';
  /** When the whole move began, in ms since 1970. */
  readonly startedAt: number;
  /** What each server, by node id, had counted of keys that went when the whole move began. */
  readonly countedBefore: Readonly<Record<string, Counters>>;
  /** Keys of each slot that may be open, with the ledger's own, when it was opened. */
  readonly opened: Readonly<Record<string, number>>;
  /** Keys, by slot, that were counted at the source and not at the destination. */
  readonly missing: Readonly<Record<string, number>>;
  /** Slots that have a key of the ledger, as `0-99,200`. */
  readonly prepared: string;
  /** Numbers of the ledger for slots that may be open. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly written: number;
  readonly acknowledged: number;
  readonly evicted: number;
  readonly keys: number;
  readonly bytes: number;
  /** Keys by pair, as `0>3`. */
  readonly pairKeys: Readonly<Record<string, number>>;
  readonly latencies: Latencies;
  readonly heldMs: number;
  readonly tookMs: number;
}

/** What is asked of the mover. */
export interface MoveRequest extends ClusterRef {
  readonly moves: readonly SlotMove[];
  readonly limits: MoveLimits;
  readonly strategy: 'native' | 'pipelined';
  /** Whether it may end as `fellBack` when a server refuses to move slots by itself; else that is a failure. */
  readonly mayFallBack: boolean;
  /** Slots that hold large keys, or of which nobody knows; as `0-99,200`. */
  readonly careful: string;
  /** Of all moves, when they were planned. */
  readonly expected: { readonly keys: number; readonly bytes: number };
  /** By shard, about. */
  readonly bytesPerKey: readonly number[];
  /** What an earlier part of the same move has done, before it was paused. */
  readonly soFar?: MoveTotals;
}

export interface MoveOutcome {
  /** All slots are where they shall be; false when it was asked to stop before. */
  readonly complete: boolean;
  readonly totals: MoveTotals;
  readonly report: MoveReport;
  /** Why a server refuses to move slots by itself, when none has taken a job: no slot has moved, and none is open. */
  readonly fellBack?: string;
  /** What it waited for when it was asked to stop: slots may be open. */
  readonly interrupted?: string;
}

export const noTotals = (strategy: MoveTotals['strategy']): MoveTotals => ({
  startedAt: Date.now(),
  countedBefore: {},
  opened: {},
  missing: {},
  strategy,
  prepared: '',
  numbers: {},
  written: 0,
  acknowledged: 0,
  evicted: 0,
  keys: 0,
  bytes: 0,
  pairKeys: {},
  latencies: noLatencies,
  heldMs: 0,
  tookMs: 0,
});

export const pairOf = ({ from, to }: { readonly from: number; readonly to: number }): string => `${from}>${to}`;

/** @param left slots of each move that have not moved yet */
export function reportOf(totals: MoveTotals, moves: readonly SlotMove[], left: (move: SlotMove) => number, lost: number): MoveReport {
  const pairs = moves.map((move) => {
    const slotsTotal = countSlots(move.slots);
    return { from: move.from, to: move.to, slotsTotal, slots: slotsTotal - left(move), keys: totals.pairKeys[pairOf(move)] ?? 0 };
  });
  const { strategy, keys, bytes, tookMs, latencies, written, acknowledged, evicted, heldMs } = totals;
  return {
    strategy,
    slots: pairs.reduce((sum, pair) => sum + pair.slots, 0),
    slotsTotal: pairs.reduce((sum, pair) => sum + pair.slotsTotal, 0),
    keys,
    bytes: Math.round(bytes),
    tookMs: Math.round(tookMs),
    keysPerSecond: tookMs <= 0 ? 0 : Math.round((keys * 1000) / tookMs),
    latency: summarise(latencies),
    ledger: { written, acknowledged, lost, evicted },
    heldMs: Math.round(heldMs),
    pairs,
  };
}
