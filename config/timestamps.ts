/** A moment as Temporal tells it. */
export interface Timestamp {
  readonly seconds?: unknown;
  readonly nanos?: number | null;
}

/** ms since 1970, by Temporal's clock; 0 for none. */
export const msOf = (stamp: Timestamp | null | undefined): number => Number(stamp?.seconds ?? 0) * 1000 + (stamp?.nanos ?? 0) / 1e6;
