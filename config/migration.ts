import { z } from 'zod';

/** What bounds a move of slots. All of it can be changed while the move runs. */
export const moveLimits = z.strictObject({
  probeP99Ms: z
    .number()
    .min(0.5)
    .max(60_000)
    .default(10)
    .describe('Latency budget: above this p99 of the probe, in ms, the move slows down until it is below again.'),
  stallMs: z
    .int()
    .min(100)
    .max(600_000)
    .default(1000)
    .describe(
      'When the probe waits longer than this for an answer, in ms, the move is held at the next group boundary until it is calm again.',
    ),
  nodeAwayMs: z
    .int()
    .min(1000)
    .max(3_600_000)
    .default(60_000)
    .describe('How long a primary may be away, in ms, before the move gives up. A failover is waited for.'),
  maxKeyBytes: z
    .int()
    .min(1024)
    .default(64 * 1024 ** 2)
    .describe('A key above so many bytes stalls its shard while it moves, and stops the operation unless `bigKeys` says `move`.'),
  slotsAtOnce: z.int().min(1).max(1024).default(256).describe('Slots of one pair of shards that are open at a time, at most.'),
  batchKeys: z
    .int()
    .min(1)
    .max(10_000)
    .default(1000)
    .describe('Keys that are sent in one go, at most; how many there are follows the latency.'),
  batchBytes: z
    .int()
    .min(1024)
    .max(256 * 1024 ** 2)
    .default(1024 ** 2)
    .describe('Bytes that are sent in one go, about, at most.'),
  pairs: z.int().min(1).max(64).default(8).describe('Pairs of shards that move slots side by side, at most.'),
});

export type MoveLimits = z.output<typeof moveLimits>;

/** Limits to change: those that are named. */
export const moveLimitsChange = z
  .strictObject(
    Object.fromEntries(Object.entries(moveLimits.shape).map(([name, field]) => [name, field.unwrap().optional()])) as {
      [K in keyof typeof moveLimits.shape]: z.ZodOptional<ReturnType<(typeof moveLimits.shape)[K]['unwrap']>>;
    },
  )
  .refine((change) => Object.values(change).some((value) => value !== undefined), 'name at least one limit');

export type MoveLimitsChange = z.output<typeof moveLimitsChange>;

/** How slots are moved: by the server itself, atomically, or by MIGRATE, batch by batch. `auto`: native where every node has it. */
export const moveStrategy = z.enum(['auto', 'native', 'pipelined']);
export type MoveStrategy = z.output<typeof moveStrategy>;

/** Slot ranges as a person writes them: `0-99,200`. */
export const slotRanges = z
  .string()
  .regex(/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/, 'slots look like 0-99,200')
  .refine(
    (text) =>
      text.split(',').every((range) => {
        const [from = 0, to = from] = range.split('-').map(Number);
        return from <= to && to < 16_384;
      }),
    'slots go from 0 to 16383, each range upwards',
  );

/** A move that was decided already: by a person, or by a plan that was shown. */
export const explicitMove = z.strictObject({
  from: z.int().min(0).describe('Number of the shard that gives.'),
  to: z.int().min(0).describe('Number of the shard that takes.'),
  slots: slotRanges.describe('Slots to move, as `0-99,200`.'),
});
export type ExplicitMove = z.output<typeof explicitMove>;

/** One row of a plan that moves slots. Figures are of the moment; they are no part of the plan's digest. */
export interface PlannedMove {
  /** Shard numbers. */
  readonly from: number;
  readonly to: number;
  /** As `0-99,200`. */
  readonly ranges: string;
  readonly slots: number;
  readonly keys: number;
  /** Bytes of memory, as counted by the server or estimated from samples. */
  readonly bytes: number;
  readonly estimatedMs: number;
}

/** Milliseconds. */
export interface LatencySummary {
  readonly samples: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** How far one pair of shards is. */
export interface PairProgress {
  readonly from: number;
  readonly to: number;
  readonly slots: number;
  readonly slotsTotal: number;
  readonly keys: number;
}

/** How far a move of slots is. */
export interface MoveProgress {
  /** `held`: stands at a group boundary for the reason in `why`. `slowed`: the latency is over its budget. */
  readonly state: 'moving' | 'slowed' | 'held' | 'waiting for a node' | 'closing';
  readonly why?: string;
  readonly strategy: 'native' | 'pipelined';
  readonly slots: number;
  readonly slotsTotal: number;
  readonly keys: number;
  readonly keysTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
  readonly keysPerSecond: number;
  /** Missing while nobody can tell. */
  readonly secondsLeft?: number;
  /** Of the last seconds. */
  readonly latency: LatencySummary;
  readonly pairs: readonly PairProgress[];
}

/** What the probe wrote while slots moved, and what of it was there at the end. */
export interface LedgerSummary {
  readonly written: number;
  readonly acknowledged: number;
  /** Acknowledged and gone: a lost write. The operation fails when it is not 0. */
  readonly lost: number;
  /** Gone since the server evicted keys meanwhile; says nothing about the move. */
  readonly evicted: number;
}

/** What a move of slots did. */
export interface MoveReport {
  readonly strategy: 'native' | 'pipelined';
  readonly slots: number;
  readonly slotsTotal: number;
  readonly keys: number;
  readonly bytes: number;
  readonly tookMs: number;
  readonly keysPerSecond: number;
  /** Of the whole move, as the probe met it. */
  readonly latency: LatencySummary;
  readonly ledger: LedgerSummary;
  /** Milliseconds that it was held since the probe had waited for longer than `stallMs`. */
  readonly heldMs: number;
  readonly pairs: readonly PairProgress[];
}

/** What a running move tells with each heartbeat, once a second: how far it is, and what the next attempt needs to know. */
export interface MoveHeartbeat {
  readonly progress: MoveProgress;
  /** For the next attempt only. */
  readonly resume: unknown;
}
