import type { MoveLimits } from '../../config/migration.ts';

/**
 * How fast one pair of shards moves keys. A MIGRATE holds up its source for as long as it takes, so its time is what clients feel: it is steered
 * by additive increase and multiplicative decrease, first by the number of keys in it, and when that is as small as it gets, by rests in between.
 */
export interface Pace {
  readonly batchKeys: number;
  /** Rest after each MIGRATE, as a multiple of the time that it took. */
  readonly rest: number;
}

export const firstPace: Pace = { batchKeys: 100, rest: 0 };

const FEWEST_KEYS = 10;
const STEP_KEYS = 10;
/** However busy the cluster is with other things, a move goes on at a quarter of its speed. */
const LONGEST_REST = 3;
const DECREASE = 0.7;
const FEW = 0.5;
/** Share of the latency budget that one MIGRATE may take; a client may meet one and then the queue behind it. */
const SHARE = 0.45;

/** What one MIGRATE shall take at most, in ms. */
export const targetMs = ({ probeP99Ms }: Pick<MoveLimits, 'probeP99Ms'>): number => probeP99Ms * SHARE;

/** After a MIGRATE of `keys` keys that took `tookMs`. Only a full one teaches that there is room for more. */
export function afterBatch(pace: Pace, { keys, tookMs }: { readonly keys: number; readonly tookMs: number }, limits: MoveLimits): Pace {
  const target = targetMs(limits);
  if (tookMs > target) {
    // A few keys that took long may have waited for something else: they halve the batch at most.
    const batchKeys = Math.max(pace.batchKeys * FEW, Math.min(pace.batchKeys, keys) * DECREASE);
    return { ...pace, batchKeys: Math.max(FEWEST_KEYS, Math.floor(batchKeys)) };
  }
  if (keys < pace.batchKeys || tookMs > target * 0.8) return pace;
  return { ...pace, batchKeys: Math.min(limits.batchKeys, pace.batchKeys + STEP_KEYS) };
}

/** After a look at the probe. Over the budget: down by a factor. Well below it: rests go first. */
export function afterProbe(pace: Pace, p99Ms: number, limits: MoveLimits): Pace {
  if (p99Ms > limits.probeP99Ms) {
    const rest = pace.batchKeys > FEWEST_KEYS * 2 ? pace.rest : Math.min(LONGEST_REST, pace.rest * 2 + 0.5);
    return { batchKeys: Math.max(FEWEST_KEYS, Math.floor(pace.batchKeys * DECREASE)), rest };
  }
  if (p99Ms > limits.probeP99Ms * 0.8) return pace;
  return { ...pace, rest: pace.rest < 0.1 ? 0 : pace.rest * DECREASE };
}

/** Keys of one MIGRATE by their average size: no more than the bytes allow. */
export const keysWithin = (pace: Pace, bytesPerKey: number, { batchBytes, batchKeys }: MoveLimits): number =>
  Math.max(1, Math.min(pace.batchKeys, batchKeys, Math.floor(batchBytes / Math.max(1, bytesPerKey))));
